"""Turns the values of a spreadsheet's cells into the text that people see in them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.ooxml.date_formats import serial_of
from fastapi_ignite.rag.extraction.ooxml.number_formats import (
    BUILT_IN_FORMATS,
    GENERAL,
    NumberFormat,
    general_text,
    number_format,
)
from fastapi_ignite.rag.extraction.ooxml.parts import children, descendants, find, is_true, local_name

_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PLAIN_DIGITS: Final = 15
_LAST_DECIMALS: Final = frozenset("123456789")
_ISO_DATE: Final = BUILT_IN_FORMATS[14]
_ISO_DATE_AND_TIME: Final = "yyyy-mm-dd h:mm:ss"
_CACHED_VALUES: Final = 100_000


@dataclass(frozen=True, slots=True)
class CellKind:
    """How the cells of one type and style are shown. `is_text` says that they may name columns."""

    show: Callable[[str], str]
    is_text: bool = False
    is_date: bool = False


_SHOWN_WITHOUT_FORMAT: Final = {
    "b": CellKind(lambda value: "TRUE" if is_true(value) else "FALSE"),
    "e": CellKind(str),
}


class CellValues:
    """Knows the shared strings, the number formats and the epoch of one workbook."""

    def __init__(self, strings: etree._Element | None, styles: etree._Element | None, *, epoch_1904: bool) -> None:
        self._strings = [] if strings is None else [string_text(item) for item in children(strings, "si")]
        self._formats = _cell_formats(styles)
        self._epoch_1904 = epoch_1904
        self._kinds: dict[tuple[str, str], CellKind] = {}

    def kind(self, cell_type: str, style: str) -> CellKind:
        """Return how a cell is shown whose attributes `t` and `s` are these."""
        key = (cell_type, style)
        if key not in self._kinds:
            self._kinds[key] = self._new_kind(cell_type, self._format(style))
        return self._kinds[key]

    def _format(self, style: str) -> NumberFormat:
        place = int(style) if style.isdecimal() and len(style) < 8 else 0  # noqa: PLR2004  # no honest number
        return number_format(self._formats[place] if place < len(self._formats) else GENERAL)

    def _new_kind(self, cell_type: str, shown_as: NumberFormat) -> CellKind:
        if cell_type == "s":
            return CellKind(_cached(lambda value: shown_as.text(self._string(value))), is_text=True)
        if cell_type in {"str", "inlineStr"}:
            show = unescaped if shown_as.is_general else lambda value: shown_as.text(unescaped(value))
            return CellKind(show, is_text=True)
        if cell_type in _SHOWN_WITHOUT_FORMAT:
            return _SHOWN_WITHOUT_FORMAT[cell_type]
        if cell_type == "d":
            return CellKind(lambda value: self._iso_date(value, shown_as), is_date=True)
        if shown_as.is_general:
            return CellKind(general_number)
        return CellKind(_cached(lambda value: self._number(value, shown_as)), is_date=shown_as.is_date)

    def _string(self, value: str) -> str:
        try:
            place = int(value)
            if place < 0:
                raise IndexError
            return self._strings[place]
        except (ValueError, IndexError) as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage

    def _number(self, value: str, shown_as: NumberFormat) -> str:
        try:
            return shown_as.number(float(value), epoch_1904=self._epoch_1904)
        except ValueError:
            return value

    def _iso_date(self, value: str, shown_as: NumberFormat) -> str:
        """Show a date that a strict workbook holds as such, for instance `2026-07-02T18:00:00`."""
        try:
            moment = dt.datetime.fromisoformat(value.strip().removesuffix("Z"))
        except ValueError:
            return value
        moment = moment.replace(tzinfo=None)
        if not shown_as.is_date:
            shown_as = number_format(_ISO_DATE if moment.time() == dt.time() else _ISO_DATE_AND_TIME)
        serial = serial_of(moment, epoch_1904=self._epoch_1904)
        return shown_as.number(serial, epoch_1904=self._epoch_1904)


def general_number(value: str) -> str:
    """Show a number without a format. Most are stored as they are shown."""
    if len(value) <= _PLAIN_DIGITS and (
        value.isdigit() or (value[-1] in _LAST_DECIMALS and value[0] != "." and value.replace(".", "", 1).isdigit())
    ):
        return value
    try:
        return general_text(float(value))
    except ValueError:
        return value


def string_text(item: etree._Element) -> str:
    """Return the text of a shared or inline string: of all its runs, without the phonetic ones."""
    pieces = (
        text.text or ""
        for part in item
        for text in ((part,) if local_name(part) == "t" else children(part, "t") if local_name(part) == "r" else ())
    )
    return unescaped("".join(pieces))


def unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot hold, which Office writes as `_x000D_`."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _cell_formats(styles: etree._Element | None) -> list[str]:
    """Return the format code of each cell style."""
    codes = dict(BUILT_IN_FORMATS)
    for entry in descendants(find(styles, "numFmts"), "numFmt"):
        codes[_number_of(entry.get("numFmtId"))] = entry.get("formatCode", GENERAL)
    return [codes.get(_number_of(style.get("numFmtId")), GENERAL) for style in children(find(styles, "cellXfs"), "xf")]


def _number_of(value: str | None) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 10 else 0  # noqa: PLR2004  # no honest number


def _cached(show: Callable[[str], str]) -> Callable[[str], str]:
    """Remember what values look like: the same ones come again and again in a column."""
    known: dict[str, str] = {}

    def remembered(value: str) -> str:
        shown = known.get(value)
        if shown is None:
            shown = show(value)
            if len(known) < _CACHED_VALUES:
                known[value] = shown
        return shown

    return remembered
