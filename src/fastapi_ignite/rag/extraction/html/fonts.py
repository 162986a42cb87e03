"""Tells which words of a web page stand in Symbol or Wingdings, as Word and Outlook write arrows, ticks and 5 µg."""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_symbol_font, symbol_text
from fastapi_ignite.rag.extraction.html.markup import Tag, attributes_of

_FONT: Final = re.compile(r"(?:^|[;\s])font(?:-family)?\s*+:\s*+['\"]?([^;,'\"]*)", re.IGNORECASE)
_MOST_OPEN: Final = 1000


class SymbolFonts:
    """Follows `span` and `font` elements, from the first one in a symbol font up to its end."""

    def __init__(self) -> None:
        # the font of each open element, empty if its characters are ordinary ones
        self._open: list[str] = []
        self._too_deep = 0

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def open(self, tag: Tag) -> None:
        source = tag.attributes
        # this stands first because it is asked of every `span`
        if not self._open and not ("ymbol" in source or "ngdings" in source or "bdings" in source):
            return
        if len(self._open) >= _MOST_OPEN:
            self._too_deep += 1
            return
        font = self._open[-1] if self._open else ""
        if source:
            attributes = attributes_of(tag)
            named = attributes.get("face") or _named(attributes.get("style", ""))
            if named is not None:
                font = named.partition(",")[0].strip() if is_symbol_font(named.partition(",")[0]) else ""
        if font or self._open:
            self._open.append(font)

    def close(self) -> None:
        if self._too_deep:
            self._too_deep -= 1
        elif self._open:
            self._open.pop()

    def shown(self, text: str) -> str:
        """Return what the text shows. A no-break blank is one in these fonts, too."""
        return symbol_text(text.replace("\xa0", " "), self._open[-1]) if self._open[-1] else text


def _named(style: str) -> str | None:
    found = _FONT.search(style)
    return None if found is None else found[1].strip()
