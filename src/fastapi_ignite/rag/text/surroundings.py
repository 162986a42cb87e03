"""Defines the surroundings of a passage: the headings above it, and the lists, tables and code that it touches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from fastapi_ignite.rag.extraction.structure import Span, SpanKind, spans_from_json, spans_to_json
from fastapi_ignite.rag.text.sentences import LONGEST
from fastapi_ignite.rag.text.tables import LONGEST_HEADER, column_names

# Characters read on each side of a passage, so that no sentence which touches it is cut.
WINDOW_MARGIN: Final = LONGEST + 100
LONGEST_HEADING: Final = 200
# Characters of a heading or a table from which its words or the names of its columns are read.
LONGEST_BEGINNING: Final = 2 * LONGEST_HEADER
# Characters of the headings and of the column names that are indexed with a passage. Together they are 80 tokens at
# most: the passage's own words weigh most, and few of them are beyond what the embedding model reads.
LONGEST_CONTEXT: Final = 160


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The headings and spans around a passage, with offsets of the document.

    `above` is the path of headings at the beginning of the passage, each with its level. `spans` touch the window
    around the passage, in order. A table that reaches out of the window is cut at the beginning of a row, and has
    `level` 0 when its header is cut off. `columns` has the column names of each of the tables, by the table's start.
    """

    above: tuple[tuple[int, str], ...] = ()
    spans: tuple[Span, ...] = ()
    columns: tuple[tuple[int, tuple[str, ...]], ...] = ()

    def table_at(self, offset: int) -> Span | None:
        """Return the table that this code point of the document stands in, or None."""
        position = bisect_right(self.spans, offset, key=lambda span: span.start)
        for span in reversed(self.spans[:position]):
            if span.kind is SpanKind.TABLE:
                return span if offset < span.end else None
        return None

    def column_names(self, offset: int) -> tuple[str, ...]:
        """Return the names of the columns of the table at this code point, or none."""
        table = self.table_at(offset)
        return dict(self.columns).get(table.start, ()) if table else ()

    def joined(self, later: Surroundings) -> Surroundings:
        """Return the surroundings of a passage that goes on to the end of a later one of the same document."""
        spans = list(self.spans)
        for span in later.spans:
            if spans and span.start < spans[-1].end:
                spans[-1] = replace(spans[-1], end=max(spans[-1].end, span.end))
            else:
                spans.append(span)
        starts = {span.start for span in spans}
        columns = dict(self.columns) | {start: names for start, names in later.columns if start in starts}
        return Surroundings(self.above, tuple(spans), tuple(columns.items()))

    def to_json(self) -> dict[str, Any] | None:
        """Return the compact form that is stored, or None where there is nothing to know."""
        if not (self.above or self.spans):
            return None
        return {
            "above": [list(heading) for heading in self.above],
            "spans": spans_to_json(self.spans),
            "columns": [[start, list(names)] for start, names in self.columns],
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Self:
        """Return what `to_json` stored. Passages that were stored without it know nothing."""
        if stored is None:
            return cls()
        return cls(
            above=tuple((level, heading) for level, heading in stored["above"]),
            spans=spans_from_json(stored["spans"]),
            columns=tuple((start, tuple(names)) for start, names in stored["columns"]),
        )


def heading_words(heading: str) -> str:
    """Return the words of a heading in one line, without the marks that Markdown puts before it."""
    return " ".join(heading.lstrip("# ").split())[:LONGEST_HEADING]


def surroundings_of(
    stored: Iterable[tuple[Sequence[str | int], str | None]], window: str, window_start: int, char_start: int
) -> Surroundings:
    """Return what a passage must know that begins at `char_start` of its document, in this window.

    `stored` are the spans that touch the window and the headings before it, in order and in their stored form. Those
    that begin before the window come with the beginning of their text.
    """
    above: tuple[tuple[int, str], ...] = ()
    spans: list[Span] = []
    columns: list[tuple[int, tuple[str, ...]]] = []
    for row, beginning in stored:
        (span,) = spans_from_json([row])
        words = window[span.start - window_start : span.end - window_start] if beginning is None else beginning
        if span.kind is SpanKind.HEADING and span.start <= char_start:
            above = heading_path(above, [(span.level, heading_words(words[: span.end - span.start]))])
            if span.start == char_start:
                above = above[:-1]
        if span.end <= window_start:
            continue
        piece = _cut_at_window(span, window, window_start, char_start)
        spans.append(piece)
        if span.kind is SpanKind.TABLE:
            header = words[: span.end - span.start]
            columns.append((piece.start, column_names(header, replace(span, start=0, end=len(header)))))
    return Surroundings(above, tuple(spans), tuple(each for each in columns if each[1]))


def _cut_at_window(span: Span, window: str, window_start: int, char_start: int) -> Span:
    cut = replace(span, start=max(span.start, window_start), end=min(span.end, window_start + len(window)))
    if span.kind is not SpanKind.TABLE or span.start >= window_start:
        return cut
    line_end = window.find("\n", 0, char_start - window_start)
    start = char_start if line_end < 0 else window_start + line_end + 1
    return replace(cut, start=min(start, cut.end), level=0)


def heading_path(above: Sequence[tuple[int, str]], further: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Return the path after further headings: each ends the headings of its own level and of lower ones."""
    path = list(above)
    for level, heading in further:
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, heading))
    return tuple(path)


def context_text(headings: Sequence[str], names: Sequence[str]) -> str:
    """Return the words that are indexed with a passage though they stand elsewhere: headings and column names.

    Where they are too long, the highest headings and the last columns are left out.
    """
    path = list(reversed(_fitting(reversed(headings))))
    lines = [" > ".join(path), " | ".join(_fitting(name for name in names if name))]
    return "\n".join(line for line in lines if line)


def _fitting(words: Iterable[str]) -> list[str]:
    fitting: list[str] = []
    length = 0
    for word in words:
        length += len(word)
        if length > LONGEST_CONTEXT:
            return fitting or [word[:LONGEST_CONTEXT]]
        fitting.append(word)
    return fitting
