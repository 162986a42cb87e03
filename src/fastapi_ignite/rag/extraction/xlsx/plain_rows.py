"""Reads the rows of a worksheet whose cells are written in the few plain forms that almost all programs use.

Regular expressions read them in a small part of the time that an XML parser takes in Python. Both give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ExtractionError
from fastapi_ignite.rag.extraction.ooxml.parts import parse_xml
from fastapi_ignite.rag.extraction.xlsx.cell_values import CellKind, CellValues, cell_text
from fastapi_ignite.rag.extraction.xlsx.plain_markup import (
    FORMULA,
    KindByAttributes,
    NotPlainError,
    hides,
    without_entities,
)
from fastapi_ignite.rag.extraction.xlsx.row_forms import RowForms
from fastapi_ignite.rag.extraction.xlsx.sheet_row import SheetRow, column_number

# so many rows with other cells are remembered; a sheet has few kinds of rows
_KNOWN_ROWS: Final = 1000
_ROW_END: Final = "</row>"
# a piece of so many characters is read at a time, to the end of a row
_PIECE: Final = 250_000
# its groups: column, attributes, value, and the content of a cell that is not so plain
_CELL: Final = re.compile(
    rf'<c r="([A-Z]+)[0-9]+"([^<>]*)>(?:{FORMULA}'
    r'<(?:v|is><t(?: xml:space="preserve")?)>([^<]+)</(?:v|t></is)></c>'
    r"|((?<=/>)|[^<]*(?:<(?!/?c[ >/])[^<]*)*</c>))"
)
_GROUPS: Final = 5
# what may stand between two cells of different rows: the end of a row, empty rows, the beginning of a row
_BETWEEN_ROWS: Final = re.compile(
    r"\s*(?P<end></row>\s*)?(?P<empty>(?:<row(?: [^<>]*)?/>\s*)*)"
    r'(?P<begin><row(?: r="(?P<number>[0-9]{1,7})")?(?P<attributes>(?: [^<>]*)?)(?<!/)>\s*)?'
)


class PlainRows:
    """Reads the plain sheets of one workbook."""

    def __init__(self, values: CellValues) -> None:
        self._columns: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._kinds: dict[tuple[str, ...], tuple[CellKind, ...]] = {}
        self._kind_by_attributes = KindByAttributes(values)
        self._forms = RowForms(self._kind_by_attributes)

    def pieces(self, xml: str, position: int, end: int) -> Iterator[list[SheetRow]]:
        """Yield the rows with text from one position of a sheet to another, piece by piece.

        Raises:
            NotPlainError: only an XML parser reads the sheet right.
        """
        number = 0
        while position < end:
            stop = xml.find(_ROW_END, min(position + _PIECE, end), end)
            stop = end if stop < 0 else stop + len(_ROW_END)
            rows: list[SheetRow] = []
            number = self._add_rows(xml[position:stop], number, rows)
            yield rows
            position = stop

    def _add_rows(self, xml: str, number: int, rows: list[SheetRow]) -> int:
        """Add the rows of a piece of a sheet. Return the number of the last one."""
        form = self._forms.form_in(xml)
        if form is None:
            return self._add_rows_by_cells(xml, number, rows)
        for before, run in form.runs(xml):
            number = self._add_rows_by_cells(before, number, rows)
            if run:
                number = run[-1].number
                rows += [row for row in map(SheetRow.without_empty_cells, run) if row.texts]
        return number

    def _add_rows_by_cells(self, xml: str, number: int, rows: list[SheetRow]) -> int:
        parts = _CELL.split(xml)
        between, letters, attributes = parts[::_GROUPS], parts[1::_GROUPS], parts[2::_GROUPS]
        texts = self._texts(attributes, parts[3::_GROUPS], parts[4::_GROUPS], has_entities="&" in xml)
        edges = [place for place, text in enumerate(between) if text and not text.isspace()]
        is_open = False
        for edge, next_edge in pairwise([*edges, len(letters)]):
            begin = _BETWEEN_ROWS.fullmatch(between[edge])
            if begin is None or bool(begin["end"]) is not is_open:
                raise NotPlainError
            is_open = begin["begin"] is not None
            if edge == next_edge:
                continue
            if not is_open:
                raise NotPlainError
            number = int(begin["number"]) if begin["number"] else number + 1
            row = SheetRow(
                number,
                hides(begin["attributes"]),
                self._columns_of(tuple(letters[edge:next_edge])),
                texts[edge:next_edge],
                self._kinds_of(tuple(attributes[edge:next_edge])),
            ).without_empty_cells()
            if row.texts:
                rows.append(row)
        if is_open:
            raise NotPlainError
        return number

    def _texts(
        self, attributes: list[str], values: list[str | None], others: list[str | None], *, has_entities: bool
    ) -> list[str]:
        if has_entities:
            values = [value and without_entities(value) for value in values]
        kinds = self._kind_by_attributes
        texts = [kinds[given].show(value) if value else "" for given, value in zip(attributes, values, strict=True)]
        if any(others):
            for place, other in enumerate(others):
                if other:
                    kind = kinds[attributes[place]]
                    texts[place] = cell_text(_as_element(attributes[place], other), kind)
        return texts

    def _columns_of(self, letters: tuple[str, ...]) -> tuple[int, ...]:
        """Return the places of columns. Most rows of a sheet have the same ones."""
        columns = self._columns.get(letters)
        if columns is None:
            columns = tuple(map(column_number, letters))
            if any(after <= before for before, after in pairwise(columns)):
                raise NotPlainError
            if len(self._columns) < _KNOWN_ROWS:
                self._columns[letters] = columns
        return columns

    def _kinds_of(self, attributes: tuple[str, ...]) -> tuple[CellKind, ...]:
        kinds = self._kinds.get(attributes)
        if kinds is None:
            kinds = tuple(map(self._kind_by_attributes.__getitem__, attributes))
            if len(self._kinds) < _KNOWN_ROWS:
                self._kinds[attributes] = kinds
        return kinds


def _as_element(attributes: str, content: str) -> etree._Element:
    try:
        return parse_xml(f"<c{attributes}>{content}".encode())
    except ExtractionError:  # damage, or a prefix that the sheet declares
        raise NotPlainError from None
