"""Finds the raised digits on a page of a PDF. pdfium gives them like any others: 10 to the power of 6 as `106`."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from fastapi_ignite.rag.extraction.conventions.superscripts import raised

# A number, with a sign before it if another character stands before that. Its last digits may be raised.
_NUMBER: Final = re.compile("(?:(?<=[^\\s])[+\u2212-])?[0-9]+")
_NOT_BLANK: Final = re.compile(r"\S")
# The box of a character has room for descenders, about a fifth of it.
_DESCENDERS: Final = 0.2
# Raised digits are so much smaller and higher than the character before them, in heights of that one.
_SMALLER: Final = 0.85
_HIGHER: Final = 0.15


@dataclass(frozen=True, slots=True)
class _Size:
    height: float
    baseline: float

    def is_raised_above(self, other: _Size) -> bool:
        return self.height < _SMALLER * other.height and self.baseline - other.baseline > _HIGHER * other.height


def raised_digits(content: pdfium.PdfTextPage, text: str) -> dict[int, int]:
    """Return the places of raised digits and their signs in `text`, each with its number among the page's characters.

    `text` is what `get_text_bounded` gives. If it is not the text of the whole page, because some lies outside, places
    and characters cannot be matched, and nothing is returned.
    """
    numbers = [found.span() for found in _NUMBER.finditer(text) if found.end() > 1]
    every = content.get_text_range() if numbers else ""
    if not numbers or "".join(every.split()) != "".join(text.split()):
        return {}
    places = [found.start() for found in _NOT_BLANK.finditer(text)]
    places_of_all = [found.start() for found in _NOT_BLANK.finditer(every)]

    def character(place: int) -> int:
        rank = bisect_left(places, place)
        return int(pdfium_c.FPDFText_GetCharIndexFromTextIndex(content, places_of_all[rank]))

    box = pdfium_c.FS_RECTF()

    def size(place: int) -> _Size:
        pdfium_c.FPDFText_GetLooseCharBox(content, character(place), box)
        height = box.top - box.bottom
        return _Size(height, box.bottom + _DESCENDERS * height)

    return {place: character(place) for place in _raised_places(numbers, text, size)}


def _raised_places(numbers: Iterable[tuple[int, int]], text: str, size: Callable[[int], _Size]) -> Iterator[int]:
    """Yield the places in numbers that are raised above the character before, or above the first digits.

    In a list of raised numbers, as in `words.2,3`, that is the character before the list.
    """
    last_end, base = -1, None
    for start, end in numbers:
        before = start - 1 if start and not text[start - 1].isspace() else start
        if base is None or before != last_end:
            base = size(before)
        if before < end - 1 and size(end - 1).is_raised_above(base):
            yield from (place for place in range(before + 1, end) if size(place).is_raised_above(base))
            last_end = end
        else:
            base = None


def with_raised(text: str, places: dict[int, int]) -> str:
    """Return a text with superscripts at these places."""
    characters = list(text)
    for place in places:
        characters[place] = raised(characters[place])
    return "".join(characters)
