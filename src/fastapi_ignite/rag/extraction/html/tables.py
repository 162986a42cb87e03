"""Collects the cells of a table of a web page, and puts them into rows and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from fastapi_ignite.rag.extraction.conventions.header_rows import has_header
from fastapi_ignite.rag.extraction.html.blocks import Block
from fastapi_ignite.rag.extraction.html.markup import Tag, attributes_of
from fastapi_ignite.rag.extraction.html.text import PageText
from fastapi_ignite.rag.extraction.structure import SpanKind
from fastapi_ignite.rag.extraction.text_builder import CELL_SEPARATOR

# A longer cell is an article that a table puts beside another one.
_LONGEST_CELL: Final = 1000
_LONGEST_LINE_OF_LAYOUT: Final = 200
_MOST_COLUMNS_SPANNED: Final = 1000
_LONGEST_REPEATED: Final = 200
_SPAN_DIGITS: Final = 5
# `rowspan=0` goes on to the last row of the group; longer spans than this are none
_ALL_ROWS: Final = 65_534


@dataclass(slots=True)
class Cell:
    """A cell of a table as it is collected. `is_strong` says that none of its text is in ordinary type."""

    is_header: bool
    columns: int = 1
    rows: int = 1
    is_strong: bool = True
    blocks: list[Block] = field(default_factory=list)

    @classmethod
    def of(cls, tag: Tag) -> Self:
        cell = cls(tag.name == "th")
        if "span" in tag.attributes:
            attributes = attributes_of(tag)
            cell.columns = _span(attributes.get("colspan", "")) or 1
            cell.rows = _span(attributes.get("rowspan", "")) or _ALL_ROWS
        return cell

    @property
    def text(self) -> str:
        blocks = self.blocks
        return (blocks[0].text if len(blocks) == 1 else " ".join([block.text for block in blocks])).strip()


@dataclass(slots=True)
class Row:
    """A row of a table; `is_head` says that it stands in `<thead>`. No cell reaches into the next `group` of rows."""

    is_head: bool
    group: int
    cells: list[Cell] = field(default_factory=list)


@dataclass(slots=True)
class Table:
    """A table as it is collected. Many tables only put parts of a page side by side: their cells are blocks.

    What stands between the cells, such as a caption, goes before the table, as in a browser.
    """

    is_layout: bool = False
    nested: int = 0
    in_head: bool = False
    group: int = 0
    has_header_cells: bool = False
    held_tables: bool = False
    outside: list[Block] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def begin_row(self) -> None:
        self.rows.append(Row(self.in_head, self.group))

    def begin_cell(self, cell: Cell) -> list[Block]:
        if not self.rows:
            self.begin_row()
        self.rows[-1].cells.append(cell)
        self.has_header_cells = self.has_header_cells or cell.is_header
        return cell.blocks

    def blocks(self) -> list[Block]:
        rows = [row for row in self.rows if any(cell.blocks for cell in row.cells)]
        if not rows:
            return self.outside
        if self.is_layout or _is_layout(rows, may_have_header=not self.held_tables):
            return [*self.outside, *_side_by_side(rows)]
        header_rows = _count_header_rows(rows)
        texts = _without_spacers(_spread(rows))
        if header_rows == 0 and len(texts[0]) > 1 and has_header(texts, certain=True):
            header_rows = 1
        return [*self.outside, Block(SpanKind.TABLE, "", header_rows, rows=texts)]


def _is_layout(rows: Sequence[Row], *, may_have_header: bool) -> bool:
    if all(sum(bool(cell.blocks) for cell in row.cells) < 2 for row in rows):  # noqa: PLR2004 - one column
        return True
    if may_have_header and any(cell.is_header for row in rows for cell in row.cells):
        return False
    return any(_is_article(cell) for row in rows for cell in row.cells)


def _is_article(cell: Cell) -> bool:
    if any(
        block.kind is SpanKind.HEADING or (block.kind is SpanKind.CODE and "\n" in block.text) for block in cell.blocks
    ):
        return True
    return sum(len(block.text) for block in cell.blocks) > _LONGEST_CELL


def _side_by_side(rows: Iterable[Row]) -> Iterable[Block]:
    """Return the cells as blocks; but a row of short texts stays a line."""
    for row in rows:
        cells = [cell for cell in row.cells if cell.blocks]
        plain = all(len(cell.blocks) == 1 and cell.blocks[0].kind is None for cell in cells)
        if plain and sum(len(cell.blocks[0].text) for cell in cells) <= _LONGEST_LINE_OF_LAYOUT:
            text = CELL_SEPARATOR.join(" ".join(cell.text.split("\n")) for cell in cells)
            yield cells[0].blocks[0]._replace(text=text)
        else:
            for cell in cells:
                yield from cell.blocks


def _count_header_rows(rows: Sequence[Row]) -> int:
    """Count the rows at the top that have only header cells, or are in bold type while the next row is not."""
    count = 0
    for row in rows:
        if not (row.is_head or all(cell.is_header for cell in row.cells if cell.blocks)):
            break
        count += 1
    if count == 0 and len(rows) > 1 and _is_strong(rows[0]) and not _is_strong(rows[1]):
        count = 1
    return min(count, len(rows) - 1)


def _is_strong(row: Row) -> bool:
    return len(row.cells) > 1 and all(cell.blocks and cell.is_strong for cell in row.cells)


def _spread(rows: Sequence[Row]) -> list[list[str]]:
    """Put every cell into its column.

    A cell that spans columns is followed by empty cells; the text of one that spans rows is said in each, so that each
    row is complete. Both together never take more room than the table itself has text and cells.
    """
    room = sum(1 + len(cell.text) for row in rows for cell in row.cells)
    spanned: dict[int, tuple[int, str]] = {}
    spread: list[list[str]] = []
    group = 0
    for row in rows:
        if row.group != group:
            spanned.clear()
            group = row.group
        texts: list[str] = []
        for cell in row.cells:
            room = _fill(texts, spanned, room)
            extra = min(cell.columns - 1, _MOST_COLUMNS_SPANNED, max(room, 0))
            room -= extra
            covered = [cell.text, *[""] * extra]
            if cell.rows > 1 and len(covered[0]) <= _LONGEST_REPEATED:
                spanned.update((len(texts) + column, (cell.rows - 1, text)) for column, text in enumerate(covered))
            texts += covered
        room = _fill(texts, spanned, room)
        spread.append(texts)
    return spread


def _without_spacers(rows: list[list[str]]) -> list[list[str]]:
    """Leave out the columns that are empty in every row: they only hold the others apart."""
    used = {column for row in rows for column, text in enumerate(row) if text}
    if len(used) == max(map(len, rows)):
        return rows
    return [[text for column, text in enumerate(row) if column in used] for row in rows]


def _fill(texts: list[str], spanned: dict[int, tuple[int, str]], room: int) -> int:
    """Put in the cells that reach down from rows above to the next columns. Return how much room is left."""
    while (column := len(texts)) in spanned:
        rows, text = spanned.pop(column)
        room -= 1 + len(text)
        if room < 0:
            spanned.clear()
            break
        texts.append(text)
        if rows > 1:
            spanned[column] = (rows - 1, text)
    return room


def _span(value: str) -> int:
    value = value.strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _SPAN_DIGITS else 1


class TableText(PageText):
    """Knows the tags of tables. The blocks of a cell go to the cell until the table ends."""

    def __init__(self) -> None:
        super().__init__()
        # Of tables in one another only one is collected: the others put parts of the page side by side.
        self._table: Table | None = None
        self._cell: Cell | None = None

    def end_page(self) -> None:
        self.end_block()
        if self._table is not None:
            self._end_table(self._table)

    def open_table(self, tag: Tag) -> None:
        if self._table is not None and self._table.has_header_cells:
            # the cells of a table in a table of data are words of the cell it stands in
            self._table.nested += 1
            self._table.held_tables = True
            self.boundary(1)
            return
        self.end_block(2)
        if self._table is not None:
            self._table.is_layout = True
            self._end_table(self._table)
        self._table = Table(attributes_of(tag).get("role", "") in {"presentation", "none"})
        self.sink = self._table.outside

    def close_table(self) -> None:
        if self._table is not None and self._table.nested:
            self._table.nested -= 1
            self.boundary(1)
        else:
            self.end_block(2)
            if self._table is not None:
                self._end_table(self._table)

    def open_row_group(self, tag: Tag) -> None:
        self._begin_row_group(is_head=tag.name == "thead")

    def close_row_group(self) -> None:
        self._begin_row_group(is_head=False)

    def open_row(self, _tag: Tag) -> None:
        self.close_cell()
        if self._table is not None and not self._table.nested:
            self._table.begin_row()

    def open_cell(self, tag: Tag) -> None:
        self.close_cell()
        if self._table is not None and not self._table.nested:
            self._cell = Cell.of(tag)
            self.sink = self._table.begin_cell(self._cell)
            self.strong, self.has_ordinary_type = 0, False

    def close_cell(self) -> None:
        if self._table is not None and self._table.nested:
            self.boundary(1)
        else:
            self._end_cell()

    def _begin_row_group(self, *, is_head: bool) -> None:
        self.close_cell()
        if self._table is not None and not self._table.nested:
            self._table.in_head = is_head
            self._table.group += 1

    def _end_cell(self) -> None:
        if self._cell is None and not self.words:
            return
        self.end_block()
        self.kind = None
        if self._table is not None:
            self.sink = self._table.outside
        if self._cell is not None:
            self._cell.is_strong = not self.has_ordinary_type
            self._cell = None

    def _end_table(self, table: Table) -> None:
        self._end_cell()
        self._table = None
        self.sink = self.blocks
        self.sink += table.blocks()
