"""Finds the title of a text without headings: a short first line that stands apart from the text below it."""

from __future__ import annotations

import re
from typing import Final

_LONGEST_TITLE: Final = 200
# A line so long is a whole paragraph, so that the line before it is none of its lines.
_PARAGRAPH: Final = 240
_FIRST_LINES: Final = re.compile(
    rf"\s*+(?P<title>\S[^\n]{{0,{_LONGEST_TITLE - 1}}})\n(?P<gap>(?:[ \t]*+\n)*+)(?P<text>[^\n]+)"
)
# A greeting, a label or the beginning of a list leads to what follows, and does not name it.
_LEADING_IN: Final = re.compile(r"[,:;]\s*\Z")
_SENTENCE_END: Final = re.compile(r"[.!?]\s*\Z")


def title_of(text: str) -> str:
    """Return the title, or an empty string. A sentence is a title only above a whole paragraph in one line."""
    lines = _FIRST_LINES.match(text)
    if lines is None or _LEADING_IN.search(lines["title"]) or not any(map(str.isalpha, lines["title"])):
        return ""
    stands_apart = bool(lines["gap"]) and not _SENTENCE_END.search(lines["title"])
    return lines["title"].rstrip() if stands_apart or len(lines["text"]) >= _PARAGRAPH else ""
