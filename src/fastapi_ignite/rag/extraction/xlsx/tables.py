"""Finds the tables on a worksheet: which rows belong together, and which of them name the columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.extraction.xlsx.sheet_row import SheetRow

HIDDEN_ROW: Final = "(hidden row)"
HIDDEN_COLUMN: Final = "(hidden column)"
# Empty cells and repeated ones cost a few bytes in the file and as much as others in the text.
_MOST_ADDED: Final = 20_000_000
_MOST_HEADER_ROWS: Final = 2
COLUMNS: Final = 16_384
_YEARS: Final = range(1900, 2101)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of cells; rows count from 1 as in the file, columns from 0."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(slots=True)
class SheetLayout:
    """The properties of a sheet's cells, beside their values.

    `headers` has the number of header rows of each table that the sheet declares, by the row in which it begins.
    """

    merged: dict[tuple[int, int], Area] = field(default_factory=dict)
    headers: Mapping[int, int] = field(default_factory=dict)
    _hidden: bytearray = field(default_factory=lambda: bytearray(COLUMNS))

    def hide(self, first: int, behind: int) -> None:
        """Mark the columns from `first` to the one before `behind` as hidden."""
        first, behind = max(first, 0), max(first, min(behind, COLUMNS))
        self._hidden[first:behind] = b"\x01" * (behind - first)

    def hides(self, column: int) -> bool:
        return column < COLUMNS and self._hidden[column] > 0


def add_tables(builder: TextBuilder, rows: Sequence[SheetRow], layout: SheetLayout) -> None:
    """Add the rows of a sheet. An empty row ends a table, and so does the beginning of a table that the sheet declares.

    A cell over several rows is repeated in each, so that a row can be understood by itself; one over several columns
    stands once, unless it is in a header of two rows. Columns without any text in a table are left out.

    Raises:
        ExtractionError: the sheet is so sparse that its empty cells alone would fill a document.
    """
    _Tables(builder, layout).add(rows)


@dataclass(slots=True)
class _Tables:
    builder: TextBuilder
    layout: SheetLayout
    added: int = 0

    def add(self, rows: Sequence[SheetRow]) -> None:
        if any(area.bottom > area.top for area in self.layout.merged.values()):
            active: dict[int, tuple[int, SheetRow]] = {}
            rows = [self._with_merged(row, active) for row in rows]
        for block in _with_headers(list(_blocks(rows, self.layout.headers))):
            self._add_block(block)

    def _with_merged(self, row: SheetRow, active: dict[int, tuple[int, SheetRow]]) -> SheetRow:
        """Return the row with the cells that reach into it from above. `active` holds those by their columns."""
        given = set(row.columns)
        columns, texts, kinds = list(row.columns), list(row.texts), list(row.kinds)
        for column, (bottom, top) in list(active.items()):
            if bottom < row.number:
                del active[column]
            elif column not in given:
                place, above = bisect_left(columns, column), bisect_left(top.columns, column)
                columns.insert(place, column)
                texts.insert(place, top.texts[above])
                kinds.insert(place, top.kinds[above])
                self._count(len(top.texts[above]))
        for column in row.columns:
            area = self.layout.merged.get((row.number, column))
            if area is not None and area.bottom > area.top:
                active[column] = (area.bottom, row)
        return replace(row, columns=columns, texts=texts, kinds=kinds)

    def _add_block(self, block: Sequence[SheetRow]) -> None:
        declared = self.layout.headers.get(block[0].number)
        titles = 0
        if declared is None:
            titles = next((place for place, row in enumerate(block) if len(row.texts) > 1), 0)
        if len(block) == 1 and len(block[0].texts) == 1:
            titles = 1
        for row in block[:titles]:
            self.builder.paragraph(f"{row.texts[0]} {HIDDEN_ROW}" if row.hidden else row.texts[0])
        table = block[titles:]
        if table:
            header_rows = self._header_rows(table) if declared is None else min(declared, len(table) - 1)
            self.builder.table(self._lines(table, header_rows), header_rows=header_rows)

    def _header_rows(self, table: Sequence[SheetRow]) -> int:
        if len(table) < 2 or not _names_columns(table[0]):  # noqa: PLR2004  # a header and a row
            return 0
        gap = next((place for place in range(1, len(table)) if table[place].number > table[place - 1].number + 1), 0)
        if gap:  # only a header that an empty row sets off is in one table with what follows
            return gap
        is_over_columns = any(
            area.right > area.left
            for column in table[0].columns
            if (area := self.layout.merged.get((table[0].number, column))) is not None
        )
        return 2 if is_over_columns and len(table) > _MOST_HEADER_ROWS and _names_columns(table[1]) else 1

    def _lines(self, table: Sequence[SheetRow], header_rows: int) -> Iterator[Sequence[str]]:
        """Yield the cells of each row, with empty ones where a column of the table has none in this row."""
        used = sorted({column for row in table for column in row.columns})
        places = {column: place for place, column in enumerate(used)}
        hidden = [place for place, column in enumerate(used) if self.layout.hides(column)]
        for position, row in enumerate(table):
            width = places[row.columns[-1]] + 1
            cells = row.texts
            if width != len(cells):
                self._count(width)
                cells = spread = [""] * width
                for column, text in zip(row.columns, row.texts, strict=True):
                    spread[places[column]] = text
            if position < header_rows and header_rows > 1:
                cells = self._over_columns(row, cells, used)
            if not position and hidden:
                cells = names = [*cells, *[""] * (len(used) - len(cells))]
                for place in hidden:
                    names[place] = f"{names[place]} {HIDDEN_COLUMN}".lstrip()
            yield [*cells, HIDDEN_ROW] if row.hidden else cells

    def _over_columns(self, row: SheetRow, texts: Sequence[str], used: Sequence[int]) -> Sequence[str]:
        """Return the cells of a header row with each merged cell repeated over its columns."""
        cells = [*texts, *[""] * (len(used) - len(texts))]
        self._count(len(used))
        for column, text in zip(row.columns, row.texts, strict=True):
            area = self.layout.merged.get((row.number, column))
            if area is not None and area.right > area.left:
                first, last = bisect_left(used, column), bisect_left(used, area.right + 1)
                self._count(len(text) * (last - first))
                for place in range(first, last):
                    cells[place] = cells[place] or text
        return cells

    def _count(self, added: int) -> None:
        self.added += added
        if self.added > _MOST_ADDED:
            raise ExtractionError(ErrorCode.TOO_LARGE)


def _blocks(rows: Sequence[SheetRow], headers: Mapping[int, int]) -> Iterator[Sequence[SheetRow]]:
    start = 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or rows[place].number > rows[place - 1].number + 1 or rows[place].number in headers:
            yield rows[start:place]
            start = place


def _with_headers(blocks: Sequence[Sequence[SheetRow]]) -> Iterator[Sequence[SheetRow]]:
    """Join a header to the rows of values that one empty row sets off from it, as reports are often laid out."""
    place = 0
    while place < len(blocks):
        block = blocks[place]
        place += 1
        if place < len(blocks) and _heads(block, blocks[place]):
            block = [*block, *blocks[place]]
            place += 1
        yield block


def _heads(block: Sequence[SheetRow], following: Sequence[SheetRow]) -> bool:
    names = [row for row in block if len(row.texts) > 1]
    return (
        following[0].number == block[-1].number + 2
        and 0 < len(names) <= _MOST_HEADER_ROWS
        and len(block[-1].texts) > 1
        and all(map(_names_columns, names))
        and len(following[0].texts) > 1
        and not all(kind.is_text for kind in following[0].kinds)
    )


def _names_columns(row: SheetRow) -> bool:
    """Tell whether a row may be a header: at least two cells, of texts, or of dates or years in a sequence."""
    others = [place for place, kind in enumerate(row.kinds) if not kind.is_text]
    if len(row.texts) < 2:  # noqa: PLR2004  # one cell names no columns
        return False
    if not others:
        return True
    if len(others) < 2 or others != list(range(others[0], others[-1] + 1)):  # noqa: PLR2004  # no sequence
        return False
    if all(row.kinds[place].is_date for place in others):
        return True
    years = [int(row.texts[place]) if row.texts[place].isdecimal() else 0 for place in others]
    steps = {after - before for before, after in pairwise(years)}
    return all(year in _YEARS for year in years) and steps in ({1}, {-1})
