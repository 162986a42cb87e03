"""Tells whether a text is a table whose cells are set off by a comma, a semicolon, a tab or a vertical bar."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from fastapi_ignite.rag.extraction.conventions.header_rows import has_header
from fastapi_ignite.rag.extraction.structure import Span, SpanKind

_SEPARATORS: Final = ",;\t|"
_SAMPLE_CHARACTERS: Final = 32 * 1024
_DECLARATION: Final = "sep=;\n"
_CHECKED_CHARACTERS: Final = 256 * 1024
_ROWS_KEPT: Final = 60
# So many of its rows must have the same number of cells: some files have notes above, below or beside their tables.
_ALIKE_SHARE: Final = 0.6
_FEWEST_COLUMNS: Final = 2


@dataclass(slots=True)
class _Shape:
    """The properties that the rows of a text have in common if they are read with one separator."""

    columns: int
    share: float
    first_line: int
    rows: list[list[str]]
    has_line_ends: bool

    @property
    def is_table(self) -> bool:
        return self.columns >= _FEWEST_COLUMNS and self.share >= _ALIKE_SHARE and len(self.rows) > 1


def delimited_spans(text: str) -> Iterator[Span]:
    """Return the span of the table. A title above it is left out, and so is the line `sep=;` that Excel reads.

    There is none where the rows are not alike, or where a cell of another separator than a comma or a semicolon holds
    line ends.
    """
    separator = _declared(text)
    below = len(_DECLARATION) if separator else 0
    separator = separator or _best_separator(text)
    shape = _shape(_beginning(text[below:], _CHECKED_CHARACTERS), separator) if separator else None
    if shape is None or not shape.is_table or (shape.has_line_ends and separator not in ",;"):
        return
    start = _line_start(text, below, shape.first_line)
    yield Span(SpanKind.TABLE, start, len(text.rstrip()), int(has_header(shape.rows)), separator)


def _declared(text: str) -> str:
    is_declared = text[:4].lower() == "sep=" and text[5:6] == "\n" and text[4] in _SEPARATORS
    return text[4] if is_declared else ""


def _best_separator(text: str) -> str:
    sample = _beginning(text, _SAMPLE_CHARACTERS)
    shapes = {separator: shape for separator in _SEPARATORS if (shape := _shape(sample, separator)) is not None}
    fitting = {separator: shape for separator, shape in shapes.items() if shape.is_table}
    if len(fitting) > 1:  # a quoted cell may hold the other separator
        fitting = {
            separator: shape for separator, shape in fitting.items() if _is_well_quoted(sample, separator)
        } or fitting
    return max(fitting, key=lambda separator: (fitting[separator].share, fitting[separator].columns), default="")


def _is_well_quoted(text: str, separator: str) -> bool:
    """Tell whether a separator or a line end follows each quoted cell."""
    try:
        for _ in csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, strict=True):
            pass
    except csv.Error:
        return False
    return True


def _beginning(text: str, characters: int) -> str:
    """Return whole lines, as many as there are in so many characters."""
    return text if len(text) <= characters else text[: text.rfind("\n", 0, characters) + 1]


def _shape(text: str, separator: str) -> _Shape | None:
    """Read every row, and keep the first of the table; None where the text breaks the rules of CSV."""
    kept: list[tuple[int, list[str]]] = []
    line = 0
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator)
    try:
        for row in islice(reader, _ROWS_KEPT):
            kept.append((line, row))
            line = reader.line_num
        sizes = [len(row) for _, row in kept] + list(map(len, reader))
    except csv.Error:  # a cell of more than 128 KiB
        return None
    counts = Counter(filter(None, sizes))
    columns, alike = max(counts.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    # the header may have fewer cells than the rows, whose lines end in a separator; a title has one
    filled = [(start, row) for start, row in kept if row]
    first = next((n for n, (_, row) in enumerate(filled) if len(row) >= max(_FEWEST_COLUMNS, columns / 2)), None)
    if first is None:
        return None
    return _Shape(
        columns,
        share=alike / max(1, counts.total() - first),
        first_line=filled[first][0],
        rows=[row for _, row in filled[first:]],
        has_line_ends=reader.line_num > len(sizes),
    )


def _line_start(text: str, start: int, lines: int) -> int:
    for _ in range(lines):
        start = text.index("\n", start) + 1
    return start
