"""Counts the items of numbered lists, nested ones too, as a browser does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi_ignite.rag.extraction.conventions.numerals import letters, roman

_LONGEST_NUMBER: Final = 9


@dataclass(slots=True)
class _NumberedList:
    next: int
    kind: str
    step: int


class ListNumbers:
    """The lists that are open, the innermost one last; a list without numbers is None."""

    def __init__(self) -> None:
        self._lists: list[_NumberedList | None] = []

    def begin(self, attributes: Mapping[str, str] | None) -> None:
        """Begin a list, numbered if it has `attributes`: `start`, `type`, and `style` where it shows no numbers."""
        if attributes is None or "none" in attributes.get("style", ""):
            self._lists.append(None)
        else:
            # how many items there are is not known yet, so a reversed list without a start is counted upwards
            step = -1 if "reversed" in attributes and "start" in attributes else 1
            self._lists.append(
                _NumberedList(_integer(attributes.get("start", ""), 1), attributes.get("type", ""), step)
            )

    def end(self) -> None:
        if self._lists:
            self._lists.pop()

    def next(self, value: str = "") -> str:
        """Return the number of the next item with its point and a blank, or nothing. `value` sets the number."""
        numbered = self._lists[-1] if self._lists else None
        if numbered is None:
            return ""
        number = _integer(value, numbered.next)
        numbered.next = number + numbered.step
        return f"{_written(number, numbered.kind)}. "


def _integer(value: str, otherwise: int) -> int:
    value = value.strip()
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER else otherwise


def _written(number: int, kind: str) -> str:
    text = {"a": letters, "i": roman}.get(kind.lower(), str)(number)
    return text.upper() if kind.isupper() else text
