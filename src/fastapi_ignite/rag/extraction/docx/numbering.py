"""Counts the lists of a Word file, so that each item has the number or the bullet that its reader sees."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_private, is_symbol_font, symbol_text
from fastapi_ignite.rag.extraction.docx.names import ALTERNATE_CONTENT, OFF, R_PR, VAL, child, child_value, mc, w
from fastapi_ignite.rag.extraction.docx.number_formats import written_number
from fastapi_ignite.rag.extraction.docx.styles import ListPlace, Styles, small_number

BULLET: Final = "•"
_LEVELS: Final = 9
_LONGEST_MARKER: Final = 100
_LONGEST_CHAIN: Final = 8
_PLACEHOLDER: Final = re.compile(r"%([1-9])")
_HOLLOW: Final = {"o": "◦"}  # how Word draws the bullet of the second level, in Courier New


@dataclass(frozen=True, slots=True)
class _Level:
    start: int = 1
    number_format: str = "decimal"
    text: str = ""
    suffix: str = " "
    restart: int | None = None
    legal: bool = False
    style: str = ""


@dataclass(slots=True)
class _List:
    """A list that paragraphs name. Lists of the same definition go on counting each other's items."""

    definition: str
    levels: dict[int, _Level]
    starts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """The lists by their ids, and how far each is counted."""

    def __init__(self, root: etree._Element | None, styles: Styles) -> None:
        self._styles = styles
        self._definitions: dict[str, etree._Element] = {}
        self._instances: dict[str, etree._Element] = {}
        if root is not None:
            self._definitions = {each.get(w("abstractNumId"), ""): each for each in root.iter(w("abstractNum"))}
            self._instances = {each.get(w("numId"), ""): each for each in root.iter(w("num"))}
        self._lists: dict[str, _List | None] = {}
        self._levels: dict[str, dict[int, _Level]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._started: set[tuple[str, int]] = set()

    def marker(self, place: ListPlace, style_id: str | None = None) -> str:
        """Count one more item and return its number or bullet with the blank behind it; empty if none is shown."""
        found = self._list(place.list_id)
        if found is None:
            return ""
        level_number = place.level
        if level_number is None:
            level_number = next((number for number, each in found.levels.items() if each.style == style_id), 0)
        level_number = min(level_number, _LEVELS - 1)
        level = found.levels.get(level_number)
        if level is None:
            return ""
        self._count(place.list_id, found, level_number)
        text = self._text(found, level)
        return f"{text}{level.suffix}" if text.strip() else ""

    def _count(self, list_id: str, found: _List, level: int) -> None:
        counts = self._counts.setdefault(found.definition, {})
        start = found.starts.get(level)
        if start is not None and (list_id, level) not in self._started:
            counts[level] = start
        elif level in counts:
            counts[level] += 1
        else:
            counts[level] = found.levels[level].start if start is None else start
        self._started.add((list_id, level))
        for deeper in [known for known in counts if known > level]:
            restart = found.levels[deeper].restart if deeper in found.levels else None
            # Without a rule a level begins anew below every higher one, with 0 never, else below this one or higher.
            if restart is None or level < restart:
                del counts[deeper]

    def _text(self, found: _List, level: _Level) -> str:
        if level.number_format == "bullet":
            return level.text
        counts = self._counts[found.definition]

        def number(placeholder: re.Match[str]) -> str:
            place = int(placeholder[1]) - 1
            shown = found.levels.get(place, _Level())
            number_format = "decimal" if level.legal and shown.number_format != "none" else shown.number_format
            return written_number(counts.get(place, found.starts.get(place, shown.start)), number_format)

        return _PLACEHOLDER.sub(number, level.text)

    def _list(self, list_id: str) -> _List | None:
        if list_id not in self._lists:
            instance = self._instances.get(list_id)
            self._lists[list_id] = None if instance is None else self._read(instance)
        return self._lists[list_id]

    def _read(self, instance: etree._Element) -> _List:
        definition = self._definition(instance)
        found = _List(definition, dict(self._levels_of(definition)))
        for override in instance.iterchildren(w("lvlOverride")):
            number = small_number(override.get(w("ilvl")), 0)
            start, level = child_value(override, w("startOverride")), child(override, w("lvl"))
            if number < _LEVELS and level is not None:
                found.levels[number] = _level(level)
            if number < _LEVELS and start is not None:
                found.starts[number] = small_number(start, 1)
        return found

    def _levels_of(self, definition: str) -> dict[int, _Level]:
        if definition not in self._levels:
            element = self._definitions.get(definition)
            levels = () if element is None else element.iterchildren(w("lvl"))
            numbers = ((small_number(each.get(w("ilvl")), 0), each) for each in levels)
            self._levels[definition] = {number: _level(each) for number, each in numbers if number < _LEVELS}
        return self._levels[definition]

    def _definition(self, instance: etree._Element) -> str:
        """Return the id of the definition of a list. It may stand with another list, which a style names."""
        definition = ""
        for _ in range(_LONGEST_CHAIN):
            definition = child_value(instance, w("abstractNumId")) or ""
            link = child_value(self._definitions.get(definition), w("numStyleLink"))
            if link is None:
                break
            named = self._instances.get(self._styles.list_id(link) or "")
            if named is None or named is instance:
                break
            instance = named
        return definition


def _level(element: etree._Element) -> _Level:
    number_format = child_value(element, w("numFmt")) or _alternative_format(element) or "decimal"
    text = (child_value(element, w("lvlText")) or "")[:_LONGEST_MARKER]
    suffix = {"nothing": "", "space": " ", None: " "}.get(child_value(element, w("suff")), " ")
    restart = child_value(element, w("lvlRestart"))
    legal = element.find(w("isLgl"))
    if number_format == "bullet":
        text = BULLET if element.find(w("lvlPicBulletId")) is not None else _bullet(text, element.find(R_PR))
    return _Level(
        start=small_number(child_value(element, w("start")), 0 if number_format == "none" else 1),
        number_format=number_format,
        text=text,
        suffix=suffix,
        restart=None if restart is None else small_number(restart, 0),
        legal=legal is not None and legal.get(VAL) not in OFF,
        style=child_value(element, w("pStyle")) or "",
    )


def _alternative_format(element: etree._Element) -> str | None:
    """Formats that came after the standard, such as `001`, stand in an alternative beside an older one."""
    alternative = element.find(ALTERNATE_CONTENT)
    if alternative is None:
        return None
    chosen = alternative.find(f"{mc('Choice')}/{w('numFmt')}")
    if chosen is not None and chosen.get(VAL) == "custom" and chosen.get(w("format"), "").startswith("01,"):
        return "decimalZero"
    fallback = alternative.find(f"{mc('Fallback')}/{w('numFmt')}")
    return None if fallback is None else fallback.get(VAL)


def _bullet(text: str, run: etree._Element | None) -> str:
    fonts = None if run is None else run.find(w("rFonts"))
    font = "" if fonts is None else fonts.get(w("hAnsi")) or fonts.get(w("ascii")) or ""
    if is_symbol_font(font):
        text = symbol_text(text, font)
    elif "courier" in font.lower():
        text = _HOLLOW.get(text, text)
    return "".join(BULLET if is_private(character) else character for character in text)
