"""Counts the items of numbered lists on slides, which hold a numbering scheme and no numbers."""

from __future__ import annotations

from typing import Final

from fastapi_ignite.rag.extraction.conventions.numerals import repeated_letter, roman

_LARGEST: Final = 32_767  # of ST_TextBulletStartAtNum


class ListNumbers:
    """The numbers of one text box. A paragraph without a number ends the lists of its level and of deeper ones."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[str, int]] = {}

    def number(self, level: int, scheme: str, start: str) -> str:
        """Return the number of the next item, such as `2.` or `(b)`."""
        self._forget(level + 1)
        first = min(int(start), _LARGEST) if start.isdecimal() and len(start) < 6 else 1  # noqa: PLR2004  # digits
        key = f"{scheme} {first}"
        last_key, number = self._next.get(level, (key, first))
        number = number if last_key == key else first
        self._next[level] = (key, number + 1)
        return _shown(number, scheme)

    def end(self, level: int) -> None:
        self._forget(level)

    def _forget(self, level: int) -> None:
        for deeper in [known for known in self._next if known >= level]:
            del self._next[deeper]


def _shown(number: int, scheme: str) -> str:
    text = str(number)
    if scheme.startswith("alpha"):
        text = repeated_letter(number)
    elif scheme.startswith("roman"):
        text = roman(number)
    if "Uc" in scheme:
        text = text.upper()
    if scheme.endswith("ParenBoth"):
        return f"({text})"
    if scheme.endswith("ParenR"):
        return f"{text})"
    return text if scheme.endswith("Plain") else f"{text}."
