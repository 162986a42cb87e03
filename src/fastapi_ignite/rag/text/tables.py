"""Reads the rows and cells of a table as they stand in the stored text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from fastapi_ignite.rag.extraction.structure import Span

# A wider header names its first columns only: it is stored with every passage of its table.
LONGEST_HEADER: Final = 1_000

_BAR: Final = "|"
_CSV: Final = frozenset({",", ";"})
_LINE: Final = re.compile(r"[^\n]+")
# the line that sets the header of a Markdown table off, and lines drawn between rows
_RULE: Final = re.compile(r"[ \t|:+\-=]*[-=][ \t|:+\-=]*")
_UNTIL_BAR: Final = re.compile(r"(?:[^\\|\n]|\\[^\n]|\\(?=\n|\Z))*+")
_UNTIL_SEPARATOR: Final = {mark: re.compile(rf"[^{mark}\n]*+") for mark in ("\t", *_CSV)}
_QUOTED: Final = re.compile(r'[ ]*+"((?:[^"]|"")*+)"')


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table. `cells` are the offsets of its cells, without blanks, bars or quotation marks around them.

    An empty cell has equal offsets. All offsets count code points of the text that was read.
    """

    start: int
    end: int
    cells: tuple[tuple[int, int], ...]

    def moved(self, distance: int) -> Row:
        """Return the same row in a text that has so many code points more before it."""
        cells = tuple((start + distance, end + distance) for start, end in self.cells)
        return Row(self.start + distance, self.end + distance, cells)


def table_rows(text: str, table: Span) -> Iterator[Row]:
    """Yield the rows that hold text, the header rows first. The line below the header of a Markdown table is no row."""
    if table.separator in _CSV:
        yield from _csv_rows(text, table)
        return
    for line in _LINE.finditer(text, table.start, table.end):
        start, end = _trimmed(text, *line.span()) if table.separator == _BAR else line.span()
        if text[start:end].strip() and not (table.separator == _BAR and _RULE.fullmatch(text, start, end)):
            yield Row(start, end, tuple(_cells(text, start, end, table.separator)))


def column_names(text: str, table: Span) -> tuple[str, ...]:
    """Return the name of each column, in order. Names in several header rows are joined by a blank.

    A table without header rows has none, and a column without a name has an empty one.
    """
    return header_names(text, list(islice(table_rows(text, table), table.level)), table.separator)


def header_names(text: str, header: Sequence[Row], separator: str) -> tuple[str, ...]:
    """Return the names that these header rows give to the columns."""
    names: list[str] = []
    length = 0
    for column in range(max((len(row.cells) for row in header), default=0)):
        cells = [cell_text(text, row.cells[column], separator) for row in header if column < len(row.cells)]
        name = " ".join(dict.fromkeys(cell for cell in cells if cell))
        length += len(name)
        if length > LONGEST_HEADER:
            break
        names.append(name)
    return tuple(names) if any(names) else ()


def cell_text(text: str, cell: tuple[int, int], separator: str) -> str:
    """Return the words of a cell: without the marks by which its format escapes others, in one line."""
    words = text[cell[0] : cell[1]]
    if separator == _BAR:
        words = words.replace("\\|", "|")
    elif separator in _CSV:
        words = words.replace('""', '"')
    return " ".join(words.split())


def _cells(text: str, start: int, end: int, separator: str) -> Iterator[tuple[int, int]]:
    if separator != _BAR:
        yield from _separated(text, start, end, _UNTIL_SEPARATOR["\t"])
        return
    if text[start] == _BAR:
        start += 1
    cells = list(_separated(text, start, end, _UNTIL_BAR))
    # behind the last bar stands nothing
    yield from cells[:-1] if len(cells) > 1 and text[end - 1] == _BAR and cells[-1] == (end, end) else cells


def _separated(text: str, start: int, end: int, content: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    while True:
        match = content.match(text, start, end)
        stop = match.end() if match else start
        yield _trimmed(text, start, stop)
        if stop >= end:
            return
        start = stop + 1


def _csv_rows(text: str, table: Span) -> Iterator[Row]:
    """Read as CSV is read. A quotation mark without a partner is a character, and so are all that follow it."""
    content = _UNTIL_SEPARATOR[table.separator]
    quotes_count = True
    position = table.start
    while position < table.end:
        row_start, cells = position, []
        while True:
            quoted = _QUOTED.match(text, position, table.end) if quotes_count else None
            if quoted is None and quotes_count and text[position : position + 1] == '"':
                quotes_count = False
            rest = content.match(text, quoted.end() if quoted else position, table.end)
            stop = rest.end() if rest else position
            cells.append(quoted.span(1) if quoted else _trimmed(text, position, stop))
            position = stop + 1
            if stop >= table.end or text[stop] == "\n":
                break
        start, end = _trimmed(text, row_start, stop)
        if start < end:
            yield Row(start, end, tuple(cells))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    return (left, end - len(piece) + len(piece.rstrip())) if left < end else (end, end)
