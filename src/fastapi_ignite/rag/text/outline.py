"""Looks the structure of a whole document up by its offsets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from fastapi_ignite.rag.extraction.structure import Span, SpanKind
from fastapi_ignite.rag.text.surroundings import (
    LONGEST_HEADING,
    WINDOW_MARGIN,
    Surroundings,
    context_text,
    heading_path,
)
from fastapi_ignite.rag.text.tables import Row, header_names, table_rows

# A list of very short items would make what is stored beside a passage longer than the passage.
MOST_SPANS: Final = 100


@dataclass(frozen=True)
class Table:
    """A table of the document with its rows, which are read once."""

    span: Span
    rows: Sequence[Row]
    names: tuple[str, ...]

    @cached_property
    def starts(self) -> list[int]:
        return [row.start for row in self.rows]

    @property
    def first_row(self) -> int:
        """Return where the first row below the header begins."""
        return self.starts[self.span.level] if self.span.level < len(self.rows) else self.span.end


class Outline:
    """The spans of one document. A span that begins inside another is left out."""

    def __init__(self, text: str, spans: Sequence[Span]) -> None:
        self._text = text
        self.spans = list(_apart(spans, len(text)))
        self._starts = [span.start for span in self.spans]
        self._ends = [span.end for span in self.spans]
        self._tables = {span.start: self._table(span) for span in self.spans if span.kind is SpanKind.TABLE}
        headings = [span for span in self.spans if span.kind is SpanKind.HEADING]
        self._heading_starts = [heading.start for heading in headings]
        self._paths: list[tuple[tuple[int, str], ...]] = [()]
        for heading in headings:
            self._paths.append(heading_path(self._paths[-1], [(heading.level, self._words(heading))]))

    def table(self, span: Span) -> Table:
        return self._tables[span.start]

    def surroundings(self, start: int, end: int) -> Surroundings:
        """Return what a passage between these offsets must know."""
        window_start, window_end = max(start - WINDOW_MARGIN, 0), min(end + WINDOW_MARGIN, len(self._text))
        touching = self._touching(window_start, window_end)
        if len(touching) > MOST_SPANS:
            touching = [span for span in touching if span.kind is not SpanKind.LIST_ITEM][:MOST_SPANS]
        clipped: list[Span] = []
        columns: list[tuple[int, tuple[str, ...]]] = []
        for span in touching:
            piece = self._clipped(span, start, window_start, window_end)
            clipped.append(piece)
            if span.kind is SpanKind.TABLE and self.table(span).names:
                columns.append((piece.start, self.table(span).names))
        return Surroundings(self._above(start), tuple(clipped), tuple(columns))

    def context(self, start: int, end: int) -> str:
        """Return what is indexed with a passage: the headings above it, and the header of a table that it continues."""
        names: tuple[str, ...] = ()
        for span in self._touching(start, end):
            if span.kind is SpanKind.TABLE and self.table(span).first_row <= start:
                names = self.table(span).names
                break
        return context_text([heading for _, heading in self._above(start)], names)

    def _above(self, start: int) -> tuple[tuple[int, str], ...]:
        """Return the path of the headings that a passage which begins here stands below."""
        position = bisect_left(self._heading_starts, start)
        path = self._paths[position]
        if position < len(self._heading_starts) and self._heading_starts[position] == start:
            own_path = self._paths[position + 1]
            return own_path[:-1]
        return path

    def _touching(self, start: int, end: int) -> list[Span]:
        return self.spans[bisect_right(self._ends, start) : bisect_left(self._starts, end)]

    def _table(self, span: Span) -> Table:
        rows = list(table_rows(self._text, span))
        return Table(span, rows, header_names(self._text, rows[: span.level], span.separator))

    def _words(self, heading: Span) -> str:
        return " ".join(self._text[heading.start : heading.end].lstrip("# ").split())[:LONGEST_HEADING]

    def _clipped(self, span: Span, passage_start: int, start: int, end: int) -> Span:
        """Cut a span at the window, and a table at the first row in it, or where a longer row's passage begins."""
        clipped = replace(span, start=max(span.start, start), end=min(span.end, end))
        if span.kind is not SpanKind.TABLE or span.start >= start:
            return clipped
        starts = self.table(span).starts
        cut_off = bisect_left(starts, start)
        row_start = starts[cut_off] if cut_off < len(starts) else span.end
        return replace(clipped, start=min(row_start, passage_start, clipped.end), level=max(span.level - cut_off, 0))


def _apart(spans: Sequence[Span], length: int) -> Iterator[Span]:
    position = 0
    for span in spans:
        if position <= span.start < span.end <= length:
            yield span
            position = span.end
