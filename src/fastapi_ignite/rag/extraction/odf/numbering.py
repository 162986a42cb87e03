"""Writes the bullets and numbers of OpenDocument lists and headings, which stand in their styles, not in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.numerals import letters, roman
from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_private, symbol_text
from fastapi_ignite.rag.extraction.odf.names import EXTENSION, FORMATTING, STYLE, TEXT, XML, count_in

DEEPEST_LEVEL: Final = 10
_BULLET: Final = "•"
_MOST: Final = 10**6
_PLACEHOLDER: Final = re.compile(r"%(\d{1,2})%")
_LONGEST_LABEL: Final = 100


@dataclass(frozen=True, slots=True)
class ListLevel:
    """Describes the labels of a list level. A label has `display_levels` numbers, those of the outer levels first."""

    number_format: str = ""
    prefix: str = ""
    suffix: str = ""
    start: int = 1
    display_levels: int = 1
    pattern: str = ""
    bullet: str = ""


@dataclass(slots=True)
class ListStyle:
    """The levels of a list style, 1 for the outermost; a level that is not there has no label."""

    levels: dict[int, ListLevel] = field(default_factory=dict)

    def label(self, counters: Sequence[int], level: int) -> str:
        """Return the bullet or number of an item; `counters` has the number of each level, the outermost first."""
        found = self.levels.get(level)
        if found is None:
            return ""
        if found.bullet:
            return found.bullet
        if not found.number_format:
            return ""
        if found.pattern:
            return _PLACEHOLDER.sub(lambda place: self._number(counters, int(place[1])), found.pattern)
        first = max(1, level - found.display_levels + 1)
        numbers = [self._number(counters, number) for number in range(first, level + 1)]
        return found.prefix + ".".join(filter(None, numbers)) + found.suffix

    def start(self, level: int) -> int:
        found = self.levels.get(level)
        return found.start if found else 1

    def _number(self, counters: Sequence[int], level: int) -> str:
        found = self.levels.get(level)
        if found is None or not found.number_format or not 1 <= level <= len(counters):
            return ""
        return written(max(counters[level - 1], 1), found.number_format)


def list_style(element: etree._Element) -> ListStyle:
    """Read a `text:list-style` or the `text:outline-style`."""
    levels: dict[int, ListLevel] = {}
    for entry in element:
        level = count_in(entry.get(f"{TEXT}level"), most=DEEPEST_LEVEL, default=0)
        if not level or not isinstance(entry.tag, str):
            continue
        if entry.tag == f"{TEXT}list-level-style-bullet":
            levels[level] = ListLevel(bullet=_bullet(entry))
        elif entry.tag == f"{TEXT}list-level-style-image":
            levels[level] = ListLevel(bullet=_BULLET)
        else:
            levels[level] = ListLevel(
                number_format=entry.get(f"{STYLE}num-format", ""),
                prefix=_short(entry.get(f"{STYLE}num-prefix", "")),
                suffix=_short(entry.get(f"{STYLE}num-suffix", "")),
                start=count_in(entry.get(f"{TEXT}start-value"), most=_MOST),
                display_levels=count_in(entry.get(f"{TEXT}display-levels"), most=DEEPEST_LEVEL),
                pattern=_short(entry.get(f"{EXTENSION}num-list-format", "")),
            )
    return ListStyle(levels)


def written(number: int, number_format: str) -> str:
    """Return the number as the format `1`, `a`, `A`, `i` or `I` writes it; a format we do not know counts in digits."""
    if number_format in {"a", "A"} and number <= _MOST:
        return _in_case(letters(number), number_format)
    if number_format in {"i", "I"}:
        return _in_case(roman(number), number_format)
    return str(number)


def _in_case(text: str, number_format: str) -> str:
    return text.upper() if number_format.isupper() else text


def _bullet(entry: etree._Element) -> str:
    """Return the bullet as a common font shows it; symbol fonts have bullets at places that Unicode leaves to them."""
    bullet = entry.get(f"{TEXT}bullet-char", "").strip()[:1]
    for properties in entry.iterchildren(f"{STYLE}text-properties"):
        bullet = symbol_text(bullet, properties.get(f"{FORMATTING}font-family", "").strip("'"))
    return _BULLET if bullet and is_private(bullet) else bullet


def _short(text: str) -> str:
    return text[:_LONGEST_LABEL]


class Counters:
    """Counts the items of the lists of a document, so that a list can go on where another one stopped."""

    def __init__(self) -> None:
        self._by_id: dict[str, list[int]] = {}
        self._by_style: dict[str, list[int]] = {}
        self._last: list[int] | None = None

    def begin(self, element: etree._Element, style_name: str) -> list[int]:
        """Return the counters of an outermost list, all 0 unless it continues another one."""
        continued = element.get(f"{TEXT}continue-list")
        counters = self._by_id.get(continued) if continued else None
        if counters is None and element.get(f"{TEXT}continue-numbering") == "true":
            counters = self._by_style.get(style_name, self._last)
        if counters is None:
            counters = [0] * DEEPEST_LEVEL
        identity = element.get(f"{XML}id")
        if identity:
            self._by_id[identity] = counters
        self._by_style[style_name] = counters
        self._last = counters
        return counters


def count_item(counters: list[int], level: int, style: ListStyle | None, start: str | None) -> None:
    """Count an item of this level. Levels below it begin anew."""
    place = min(level, DEEPEST_LEVEL) - 1
    if start is not None:
        counters[place] = count_in(start, most=_MOST)
    elif counters[place]:
        counters[place] += 1
    else:
        counters[place] = style.start(level) if style else 1
    for deeper in range(place + 1, DEEPEST_LEVEL):
        counters[deeper] = 0
