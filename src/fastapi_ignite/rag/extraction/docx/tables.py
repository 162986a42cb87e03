"""Turns the cells of a Word table into rows whose columns stand below each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.header_rows import first_row_names_columns
from fastapi_ignite.rag.extraction.docx.blocks import Block, Paragraph, Table
from fastapi_ignite.rag.extraction.docx.names import (
    ALTERNATE_CONTENT,
    HIDDEN,
    OFF,
    TABLE,
    VAL,
    P,
    child,
    w,
)
from fastapi_ignite.rag.extraction.docx.notes import NoteReference
from fastapi_ignite.rag.extraction.docx.styles import Styles, small_number

_ROW: Final = w("tr")
_CELL: Final = w("tc")
_MOST_COLUMNS: Final = 63  # of Word
# A cell with more text is a part of the page and no value: the table only arranges it.
_LONGEST_VALUE: Final = 2_000
# So much of a cell that is merged over several rows is repeated in each.
_LONGEST_REPEATED: Final = 200
_LONGEST_COLUMN_NAME: Final = 100
_FIRST_ROW_BIT: Final = 0x20


@dataclass(slots=True)
class _Cell:
    blocks: list[Block]
    columns: int
    continues_above: bool

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks if isinstance(block, Paragraph))

    @property
    def is_bold(self) -> bool:
        texts = [block for block in self.blocks if isinstance(block, Paragraph) and block.text.strip()]
        return bool(texts) and all(block.is_bold for block in texts)


@dataclass(slots=True)
class _Row:
    cells: list[_Cell]
    columns_before: int
    is_header: bool

    @property
    def places(self) -> list[int]:
        """Return the column of the grid at which each cell begins."""
        return list(accumulate((cell.columns for cell in self.cells[:-1]), initial=self.columns_before))


class TableReader:
    """Reads tables; `read_blocks` reads the content of a cell."""

    def __init__(self, styles: Styles, read_blocks: Callable[[etree._Element], Iterator[Block]]) -> None:
        self._styles = styles
        self._read_blocks = read_blocks

    def read(self, table: etree._Element) -> Iterator[Block]:
        """Yield the table, or its cells one after the other if it only arranges them on the page.

        It does so if it has one column, or if a cell holds a table or a long text.
        """
        rows = [self._row(row) for row in _elements(table, _ROW, ends=_CELL)]
        rows = [row for row in rows if row.cells]
        blocks = [block for row in rows for cell in row.cells for block in cell.blocks]
        if all(len(row.cells) == 1 for row in rows) or any(map(_is_part_of_page, _cells(rows))):
            yield from blocks
            return
        notes: list[NoteReference] = [note for block in blocks for note in block.notes]
        texts = _texts(rows)
        yield Table(texts, self._header_rows(table, rows, texts), notes)

    def _row(self, row: etree._Element) -> _Row:
        properties = child(row, w("trPr"))
        before = 0
        is_header = False
        if properties is not None:
            if child(properties, w("del")) is not None:
                return _Row([], 0, is_header=False)
            before = min(_number(properties, "gridBefore", 0), _MOST_COLUMNS)
            is_header = _is_on(child(properties, w("tblHeader")))
        return _Row([cell for each in _elements(row, _CELL, ends=P) for cell in self._cell(each)], before, is_header)

    def _cell(self, cell: etree._Element) -> Iterator[_Cell]:
        properties = child(cell, w("tcPr"))
        columns, continues = 1, False
        if properties is not None:
            if child(properties, w("cellDel")) is not None:
                return
            columns = max(1, min(_number(properties, "gridSpan", 1), _MOST_COLUMNS))
            continues = _continues(child(properties, w("vMerge")))
        yield _Cell(list(self._read_blocks(cell)), columns, continues)

    def _header_rows(self, table: etree._Element, rows: list[_Row], texts: list[list[str]]) -> int:
        marked = next((number for number, row in enumerate(rows) if not row.is_header), len(rows))
        if marked:
            return marked if marked < len(rows) else 1
        names = texts[0]
        if (
            len(rows) == 1
            or not all(name.strip() for name in names[1:])
            or any(len(name) > _LONGEST_COLUMN_NAME for name in names)
        ):
            return 0
        return int(self._first_row_is_set_off(table, rows) or first_row_names_columns(texts))

    def _first_row_is_set_off(self, table: etree._Element, rows: list[_Row]) -> bool:
        first, second = ([cell.is_bold for cell in row.cells if cell.text.strip()] for row in rows[:2])
        if first and all(first) and not all(second):
            return True
        properties = child(table, w("tblPr"))
        look = None if properties is None else child(properties, w("tblLook"))
        style = None if properties is None else child(properties, w("tblStyle"))
        if look is None or style is None or not self._styles.has_header_row(style.get(VAL, "")):
            return False
        first_row = look.get(w("firstRow"))
        return first_row not in OFF if first_row is not None else _has_first_row_bit(look.get(VAL, ""))


def _texts(rows: list[_Row]) -> list[list[str]]:
    """Return the texts by columns, a column being a place at which a cell of any row begins.

    A cell over several columns stands in the first of them, the others are empty. A cell over several rows is repeated
    in each, so that every row can be understood without those above it.
    """
    columns = {place: number for number, place in enumerate(sorted({place for row in rows for place in row.places}))}
    texts: list[list[str]] = []
    above: dict[int, str] = {}
    for row in rows:
        line: list[str] = []
        for place, cell in zip(row.places, row.cells, strict=True):
            text = cell.text
            if cell.continues_above and not text.strip():
                text = above.get(place, "")
            above[place] = text if len(text) <= _LONGEST_REPEATED else ""
            line.extend([""] * (columns[place] - len(line)))
            line.append(text)
        texts.append(line)
    return texts


def _cells(rows: list[_Row]) -> Iterator[_Cell]:
    for row in rows:
        yield from row.cells


def _is_part_of_page(cell: _Cell) -> bool:
    if any(isinstance(block, Table) for block in cell.blocks):
        return True
    return sum(len(block.text) for block in cell.blocks if isinstance(block, Paragraph)) > _LONGEST_VALUE


def _elements(parent: etree._Element, name: str, *, ends: str) -> Iterator[etree._Element]:
    """Yield the elements of a name below `parent`, through content controls and marks of changes.

    Elements named `ends` lie deeper than any of them, and so do tables.
    """
    for element in parent:
        if element.tag == name:
            yield element
        elif element.tag == ALTERNATE_CONTENT:
            yield from next(filter(None, (list(_elements(each, name, ends=ends)) for each in element)), [])
        elif element.tag not in HIDDEN and element.tag not in {ends, TABLE}:
            yield from _elements(element, name, ends=ends)


def _number(properties: etree._Element, name: str, otherwise: int) -> int:
    found = properties.find(w(name))
    return otherwise if found is None else small_number(found.get(VAL), otherwise)


def _is_on(element: etree._Element | None) -> bool:
    return element is not None and element.get(VAL) not in OFF


def _continues(merge: etree._Element | None) -> bool:
    return merge is not None and merge.get(VAL, "continue") == "continue"


def _has_first_row_bit(value: str) -> bool:
    try:
        return bool(int(value, 16) & _FIRST_ROW_BIT)
    except ValueError:
        return False
