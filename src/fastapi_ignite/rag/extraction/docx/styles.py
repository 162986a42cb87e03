"""Says what the styles of a Word file make of a paragraph or a run: a heading, code, a list item, hidden text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_symbol_font
from fastapi_ignite.rag.extraction.docx.names import OFF, P_PR, R_PR, VAL, child, child_value, w

# Word itself follows no longer chain; a cycle ends here too.
_LONGEST_CHAIN: Final = 50
_TITLE: Final = "title"
# Names of built-in styles are English in every language of Word; ids are not.
_HEADING: Final = re.compile(r"heading ?([1-9])$")
_CODE: Final = re.compile(
    r"(source ?)?code( ?(block|text|listing|sample|example))?$|html ?preformatted$|(preformatted|macro) ?text$"
)
_BODY_OUTLINE_LEVEL: Final = 9

_R_STYLE: Final = w("rStyle")
_R_FONTS: Final = w("rFonts")
_VANISH: Final = w("vanish")
_VERT_ALIGN: Final = w("vertAlign")
_BOLD: Final = w("b")
_P_STYLE: Final = w("pStyle")
_NUMBERING: Final = w("numPr")
_LIST_ID: Final = w("numId")
_LIST_LEVEL: Final = w("ilvl")
_OUTLINE: Final = w("outlineLvl")
_FRAME: Final = w("framePr")
_DROP_CAP: Final = w("dropCap")
_NO_LONGER_THERE: Final = frozenset((w("del"), w("moveFrom")))
_ASCII: Final = w("ascii")
_HIGH_ANSI: Final = w("hAnsi")


@dataclass(frozen=True, slots=True)
class RunFormat:
    """The part of a run's format that changes its text. `symbol_font` is a font whose letters are signs, or empty."""

    hidden: bool = False
    symbol_font: str = ""
    superscript: bool = False
    bold: bool = False


@dataclass(frozen=True, slots=True)
class ListPlace:
    """The list that a paragraph belongs to. `level` counts from 0; None leaves it to the list."""

    list_id: str
    level: int | None


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """`heading_level` is 0 for what is no heading."""

    heading_level: int = 0
    is_code: bool = False
    place: ListPlace | None = None
    run: RunFormat = RunFormat()


@dataclass(slots=True)
class ParagraphProperties:
    """The properties that a paragraph or its style sets itself; None where it sets none.

    `goes_on` says that the text belongs to the next paragraph: the mark between them is deleted or moved away, or the
    text is one large letter with which the next one begins.
    """

    style_id: str | None = None
    heading_level: int | None = None
    place: ListPlace | None = None
    goes_on: bool = False


class Styles:
    """The styles by their ids. A style that is missing has no effect, as in Word."""

    def __init__(self, root: etree._Element | None) -> None:
        self._styles = {} if root is None else {style.get(w("styleId"), ""): style for style in root.iter(w("style"))}
        self._default = next(
            (
                name
                for name, style in self._styles.items()
                if style.get(w("type")) == "paragraph" and _is_default(style)
            ),
            "",
        )
        self.paragraph = cache(self._paragraph)
        self.run = cache(self._run)
        self.has_header_row = cache(self._has_header_row)

    def _has_header_row(self, style_id: str) -> bool:
        """Return whether a table style sets off the first row."""
        return any(
            part.get(w("type")) == "firstRow"
            for style in self._chain(style_id)
            for part in style.iterchildren(w("tblStylePr"))
        )

    def list_id(self, style_id: str) -> str | None:
        """Return the list that a numbering style names."""
        for style in self._chain(style_id):
            place = paragraph_properties(child(style, P_PR)).place
            if place is not None:
                return place.list_id
        return None

    def run_format(self, properties: etree._Element, base: RunFormat) -> RunFormat:
        """Return the format of a run whose paragraph has the format `base`."""
        hidden, font, superscript, bold = base.hidden, base.symbol_font, base.superscript, base.bold
        for each in properties:
            tag = each.tag
            if tag == _R_FONTS:
                named = each.get(_HIGH_ANSI) or each.get(_ASCII)
                if named is not None:
                    font = named if is_symbol_font(named) else ""
            elif tag == _R_STYLE:
                style = self.run(each.get(VAL, ""))
                hidden |= style.hidden
                superscript |= style.superscript
                bold |= style.bold
                font = style.symbol_font or font
            elif tag == _VANISH:
                hidden = each.get(VAL) not in OFF
            elif tag == _VERT_ALIGN:
                superscript = each.get(VAL) == "superscript"
            elif tag == _BOLD:
                bold = each.get(VAL) not in OFF
        if (hidden, font, superscript, bold) == (base.hidden, base.symbol_font, base.superscript, base.bold):
            return base
        return RunFormat(hidden, font, superscript, bold)

    def _paragraph(self, style_id: str | None) -> ParagraphStyle:
        chain = self._chain(self._default if style_id is None else style_id)
        if not chain:
            return ParagraphStyle(heading_level=_heading_level((style_id or "").lower()))
        found = ParagraphStyle()
        for style in reversed(chain):
            name = (child_value(style, w("name")) or "").lower()
            own = paragraph_properties(child(style, P_PR))
            level = _heading_level(name) or found.heading_level
            run = child(style, R_PR)
            found = ParagraphStyle(
                heading_level=level if own.heading_level is None else own.heading_level,
                is_code=found.is_code or bool(_CODE.match(name)),
                place=placed(own.place, found.place),
                run=found.run if run is None else self.run_format(run, found.run),
            )
        return found

    def _run(self, style_id: str) -> RunFormat:
        found = RunFormat()
        for style in reversed(self._chain(style_id)):
            run = child(style, R_PR)
            if run is not None:
                found = self.run_format(_without_style(run), found)
        return found

    def _chain(self, style_id: str) -> list[etree._Element]:
        """Return the style and those that it is based on, as far as they are known."""
        chain: list[etree._Element] = []
        seen: set[str] = set()
        while style_id in self._styles and style_id not in seen and len(chain) < _LONGEST_CHAIN:
            seen.add(style_id)
            style = self._styles[style_id]
            chain.append(style)
            style_id = child_value(style, w("basedOn")) or ""
        return chain


def paragraph_properties(element: etree._Element | None) -> ParagraphProperties:
    """Read `w:pPr`. The list id of the list is empty if the properties only name a level."""
    found = ParagraphProperties()
    for each in () if element is None else element:
        tag = each.tag
        if tag == _P_STYLE:
            found.style_id = each.get(VAL)
        elif tag == _NUMBERING:
            level = child_value(each, _LIST_LEVEL)
            found.place = ListPlace(
                child_value(each, _LIST_ID) or "", None if level is None else small_number(level, 0)
            )
        elif tag == _OUTLINE:
            outline = small_number(each.get(VAL), _BODY_OUTLINE_LEVEL)
            found.heading_level = outline + 1 if outline < _BODY_OUTLINE_LEVEL else 0
        elif tag == _FRAME:
            found.goes_on |= each.get(_DROP_CAP, "none") != "none"
        elif tag == R_PR:
            found.goes_on |= any(mark.tag in _NO_LONGER_THERE for mark in each)
    return found


def placed(own: ListPlace | None, inherited: ListPlace | None) -> ListPlace | None:
    """Return the list of a paragraph or a style. Who only changes the level stays in the list of the style below."""
    if own is not None and not own.list_id and inherited is not None:
        return replace(inherited, level=own.level)
    return own or inherited


def small_number(text: str | None, otherwise: int) -> int:
    """Return a number of up to nine digits; `otherwise` for anything else that stands in its place."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else otherwise  # noqa: PLR2004 - digits


def _heading_level(name: str) -> int:
    if name == _TITLE:
        return 1
    heading = _HEADING.match(name)
    return int(heading[1]) if heading else 0


def _is_default(style: etree._Element) -> bool:
    return style.get(w("default")) not in {None, *OFF}


def _without_style(properties: etree._Element) -> etree._Element:
    """A character style cannot name a style for its runs; one that does must not lead in a circle."""
    for named in properties.findall(_R_STYLE):
        properties.remove(named)
    return properties
