"""Turns the values of a spreadsheet's cells into the text that people see in them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.superscripts import raised
from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_symbol_font, symbol_text
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
_FUNCTION_PREFIX: Final = re.compile(r"_xl(?:fn|ws|udf)\.")
_WITHOUT_VALUE: Final = "=?"
_LAST_DECIMALS: Final = frozenset("123456789")
_ISO_DATE: Final = BUILT_IN_FORMATS[14]
_ISO_DATE_AND_TIME: Final = "yyyy-mm-dd h:mm:ss"
_CACHED_VALUES: Final = 100_000


@dataclass(frozen=True, slots=True)
class CellKind:
    """Shows the cells of one type and style. `is_text` says that they may name columns.

    `are_shown` tells quickly whether values are stored as they are shown, if it knows; `show` gives the same then.
    """

    show: Callable[[str], str]
    is_text: bool = False
    is_date: bool = False
    are_shown: Callable[[Sequence[str]], bool] | None = None

    def shown(self, values: Sequence[str]) -> Sequence[str]:
        """Return what cells of this kind show. A cell without a value has None or an empty one."""
        if not all(values):
            return [self.show(value) if value else "" for value in values]
        if self.are_shown is not None and self.are_shown(values):
            return values
        return list(map(self.show, values))


_SHOWN_WITHOUT_FORMAT: Final = {
    "b": CellKind(lambda value: "TRUE" if is_true(value) else "FALSE"),
    "e": CellKind(str),
}


class _Remembered(dict[str, str]):
    """Remembers how values look, because the same ones come again and again in a column."""

    def __init__(self, show: Callable[[str], str]) -> None:
        super().__init__()
        self._show = show

    def __missing__(self, value: str) -> str:
        shown = self._show(value)
        if len(self) < _CACHED_VALUES:
            self[value] = shown
        return shown


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
            return CellKind(_Remembered(lambda value: shown_as.text(self._string(value))).__getitem__, is_text=True)
        if cell_type in {"str", "inlineStr"}:
            show = unescaped if shown_as.is_general else lambda value: shown_as.text(unescaped(value))
            return CellKind(show, is_text=True, are_shown=_have_no_escapes if shown_as.is_general else None)
        if cell_type in _SHOWN_WITHOUT_FORMAT:
            return _SHOWN_WITHOUT_FORMAT[cell_type]
        if cell_type == "d":
            return CellKind(lambda value: self._iso_date(value, shown_as), is_date=True)
        if shown_as.is_general:
            return CellKind(general_number, are_shown=_are_whole_numbers)
        show_number = _Remembered(lambda value: self._number(value, shown_as)).__getitem__
        return CellKind(show_number, is_date=shown_as.is_date)

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


def _are_whole_numbers(values: Sequence[str]) -> bool:
    return "".join(values).isdigit() and max(map(len, values)) <= _PLAIN_DIGITS


def cell_text(cell: etree._Element, kind: CellKind) -> str:
    """Return what a cell shows. A formula whose value was never computed shows itself: `=A1*B1`."""
    value, formula, inline = (find(cell, name) for name in ("v", "f", "is"))
    if inline is not None:
        return string_text(inline)
    if value is not None and value.text:
        return kind.show(value.text)
    if formula is None or (value is not None and cell.get("t") == "str"):
        return ""
    return f"={_FUNCTION_PREFIX.sub('', unescaped(formula.text))}" if formula.text else _WITHOUT_VALUE


def string_text(item: etree._Element) -> str:
    """Return the text of a shared or inline string: of all its runs, without the phonetic ones."""
    pieces: list[str] = []
    for part in item:
        name = local_name(part)
        if name == "t":
            pieces.append(part.text or "")
        elif name == "r":
            pieces.append(_run_text(part))
    return unescaped("".join(pieces))


def _run_text(run: etree._Element) -> str:
    """Return the text of a run as its format shows it: raised digits, and the signs of Symbol and Wingdings."""
    text = "".join(part.text or "" for part in children(run, "t"))
    properties = find(run, "rPr")
    for setting in () if properties is None else properties:
        name, value = local_name(setting), setting.get("val", "")
        if name == "vertAlign" and value == "superscript":
            text = raised(text)
        elif name == "rFont" and is_symbol_font(value):
            text = symbol_text(text, value)
    return text


def unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot hold, which Office writes as `_x000D_`."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _have_no_escapes(values: Sequence[str]) -> bool:
    return "_x" not in "".join(values)


def _cell_formats(styles: etree._Element | None) -> list[str]:
    """Return the format code of each cell style."""
    codes = dict(BUILT_IN_FORMATS)
    for entry in descendants(find(styles, "numFmts"), "numFmt"):
        codes[_number_of(entry.get("numFmtId"))] = entry.get("formatCode", GENERAL)
    return [codes.get(_number_of(style.get("numFmtId")), GENERAL) for style in children(find(styles, "cellXfs"), "xf")]


def _number_of(value: str | None) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 10 else 0  # noqa: PLR2004  # no honest number
