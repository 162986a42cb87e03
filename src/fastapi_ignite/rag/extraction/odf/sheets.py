"""Reads spreadsheets of OpenDocument row by row, so that a sheet of any length needs little memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.header_rows import first_row_names_columns
from fastapi_ignite.rag.extraction.odf.names import (
    CELL,
    CELLS,
    COLUMNS_REPEATED,
    OFFICE,
    PARAGRAPH,
    ROW,
    ROWS_REPEATED,
    TABLE,
    TABLE_ELEMENT,
    count_in,
)
from fastapi_ignite.rag.extraction.odf.styles import Styles
from fastapi_ignite.rag.extraction.odf.text import BlockReader
from fastapi_ignite.rag.extraction.package_parts import XmlParts
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_SHAPES: Final = f"{TABLE}shapes"
_HEADER_ROWS: Final = f"{TABLE}table-header-rows"
_LINKED: Final = f"{TABLE}dde-links"
_STYLES: Final = f"{OFFICE}automatic-styles"
_EVENTS: Final = (TABLE_ELEMENT, ROW, _SHAPES, _HEADER_ROWS, _LINKED, _STYLES)
_MOST_ROWS_REPEATED: Final = 1000
_MOST_COLUMNS_REPEATED: Final = 1000
# so many rows of one cell above a table are its titles; more are rows
_MOST_TITLES: Final = 5
_MOST_COLUMNS: Final = 1_048_576
# LibreOffice keeps copies of sheets of other files under such names.
_COPY_OF_ANOTHER_FILE: Final = "'file:"
_REFERENCE: Final = re.compile(r"\[\.?([^\[\]]*)\]")
_DURATION: Final = re.compile(r"-?P(?:(\d{1,9})D)?T?(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:[.,]\d*)?S)?")
_VALUE_TYPE: Final = f"{OFFICE}value-type"
_VALUE: Final = f"{OFFICE}value"
_FORMULA: Final = f"{TABLE}formula"

Row = list[tuple[int, str]]


class SheetReader:
    """Writes each sheet with text as a heading and tables. An empty row ends a table, and one cell alone no column."""

    def __init__(self, parts: XmlParts, styles: Styles, output: TextBuilder, reader: BlockReader) -> None:
        self._parts = parts
        self._styles = styles
        self._output = output
        self._reader = reader
        self._depth = 0
        self._skipped_depth = 0
        self._linked = 0
        self._in_header = 0
        self._heading = ""  # of a sheet of which nothing has been written yet
        self._rows: list[Row] = []
        self._named_rows = 0

    def read(self) -> None:
        for event, element in self._parts.xml_events("content.xml", _EVENTS):
            starts = event == "start"
            if element.tag == ROW:
                if not starts and self._depth == 1 and not self._skipped_depth:
                    self._row(element)
                    _drop(element)
            elif element.tag == TABLE_ELEMENT:
                self._depth += 1 if starts else -1
                self._sheet(element, starts=starts)
            elif element.tag == _STYLES and not starts:
                self._styles.add_container(element)
            elif element.tag == _HEADER_ROWS:
                self._in_header += 1 if starts else -1
            elif element.tag == _LINKED:
                self._skipped_depth += 1 if starts else -1
            elif element.tag == _SHAPES and not starts and self._depth == 1:
                self._shapes(element)

    def _sheet(self, element: etree._Element, *, starts: bool) -> None:
        name = element.get(f"{TABLE}name", "")
        if name.startswith(_COPY_OF_ANOTHER_FILE) and (self._depth == (1 if starts else 0)):
            self._skipped_depth += 1 if starts else -1
        elif starts and self._depth == 1 and not self._skipped_depth:
            hidden = self._styles.is_hidden_table(element.get(f"{TABLE}style-name"))
            self._heading = f"{name} (hidden sheet)" if hidden else name
        elif not starts and self._depth == 0:
            self._end_table()
            element.clear()

    def _shapes(self, element: etree._Element) -> None:
        self._end_table()
        if any(paragraph.text or len(paragraph) for paragraph in element.iter(PARAGRAPH)):
            self._begin_sheet()
            self._reader.blocks(element)
        _drop(element)

    def _begin_sheet(self) -> None:
        """Write the name of the sheet, which one without any text does not need."""
        self._output.heading(self._heading, 1)
        self._heading = ""

    def _row(self, element: etree._Element) -> None:
        row: Row = []
        column = 0
        for cell in element:
            if cell.tag not in CELLS:
                continue
            repeated = cell.get(COLUMNS_REPEATED)
            # what a merged cell covers is not shown
            text = self._cell(cell) if cell.tag == CELL else ""
            if repeated is None:
                if text:
                    row.append((column, text))
                column += 1
                continue
            times = count_in(repeated, most=_MOST_COLUMNS)
            if text:
                self._reader.count_repeated([text], min(times, _MOST_COLUMNS_REPEATED) - 1)
                row += [(column + number, text) for number in range(min(times, _MOST_COLUMNS_REPEATED))]
            column += times
        if not row:
            self._end_table()
            return
        times = count_in(element.get(ROWS_REPEATED), most=_MOST_ROWS_REPEATED)
        if times > 1:
            self._reader.count_repeated([text for _, text in row], times - 1)
        if self._in_header and self._named_rows == len(self._rows):
            self._named_rows += times
        self._rows += [row] * times

    def _cell(self, cell: etree._Element) -> str:
        parts = len(cell)
        if parts == 1 and cell[0].tag == PARAGRAPH:
            text = self._reader.paragraph_text(cell[0])
        else:
            text = self._reader.nested_text(cell) if parts else ""
        if text or (_VALUE_TYPE not in cell.attrib and _FORMULA not in cell.attrib):
            return text
        return shown_value(cell)

    def _end_table(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._begin_sheet()
        named, self._named_rows = self._named_rows, 0
        titles = 0 if named else next((number for number, row in enumerate(rows) if len(row) > 1), 0)
        if titles > _MOST_TITLES:
            titles = 0
        for row in rows[:titles]:
            self._output.paragraph(row[0][1])
        self._table(rows[titles:], named)
        self._reader.end_block()

    def _table(self, rows: Sequence[Row], named: int) -> None:
        """Columns without any text are left out, so that a far-away cell costs no endless row of tabs."""
        columns = sorted({column for row in rows for column, _ in row})
        places = {column: place for place, column in enumerate(columns)}
        table: list[list[str]] = []
        for row in rows:
            cells = [""] * (places[row[-1][0]] + 1)
            self._reader.count_repeated([""], len(cells) - len(row))
            for column, text in row:
                cells[places[column]] = text
            table.append(cells)
        self._output.table(table, header_rows=named or int(first_row_names_columns(table)))


def shown_value(cell: etree._Element) -> str:
    """Return what a program shows for a cell without text: its value, or its formula if that has none."""
    kind = cell.get(_VALUE_TYPE, "")
    value = cell.get(_VALUE, "")
    if kind == "percentage" and value:
        return _percentage(value)
    if kind == "currency" and value:
        return f"{value} {cell.get(f'{OFFICE}currency', '')}".strip()
    if kind == "boolean":
        return cell.get(f"{OFFICE}boolean-value", "").upper()
    if kind == "date":
        return cell.get(f"{OFFICE}date-value", "").replace("T", " ")
    if kind == "time":
        return _clock(cell.get(f"{OFFICE}time-value", ""))
    shown = value or cell.get(f"{OFFICE}string-value", "")
    return shown or _formula(cell.get(_FORMULA, ""))


def _percentage(value: str) -> str:
    try:
        return f"{float(value) * 100:.10g}%"
    except ValueError:
        return value


def _clock(duration: str) -> str:
    found = _DURATION.fullmatch(duration)
    if found is None:
        return duration
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return f"{days * 24 + hours:02}:{minutes:02}:{seconds:02}"


def _formula(formula: str) -> str:
    """`of:=SUM([.A1:.A3])` is shown as `=SUM(A1:A3)`."""
    start = formula.find("=")
    return _REFERENCE.sub(lambda found: found[1].replace(":.", ":"), formula[max(start, 0) :])


def _drop(element: etree._Element) -> None:
    """Free an element that has been read. It stays an empty child of its parent, which counts on it while it parses."""
    element.clear()
