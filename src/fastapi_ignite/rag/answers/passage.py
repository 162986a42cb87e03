"""A passage was found in a project's documents. A quote is a stretch of it that an answer shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID

from fastapi_ignite.rag.engine import Citation, FoundPassage, Support
from fastapi_ignite.rag.extraction import Span, SpanKind, page_at
from fastapi_ignite.rag.text.sentences import Sentence, split_sentences
from fastapi_ignite.rag.text.surroundings import Surroundings, heading_path, heading_words
from fastapi_ignite.rag.text.tables import Row, table_rows

T = TypeVar("T")
REFUSAL = "The documents of this project do not hold an answer to this question."


@dataclass(frozen=True, slots=True)
class Quote:
    """A verbatim stretch of a document. Offsets count code points of the document's text, end exclusive.

    `said` is how an answer says it where that is not `text`: a row of a table with the names of its columns.
    """

    document_id: UUID
    text: str
    char_start: int
    char_end: int
    page_starts: Sequence[int] | None
    score: float
    support: Support = "quoted"
    said: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document that was found, with the text around it, so that its first and last sentence are whole.

    `window` begins at code point `window_start` of the document. `score` is between 0 and 1. A document that was stored
    before its structure was has no `surroundings`.
    """

    document_id: UUID
    char_start: int
    char_end: int
    window: str
    window_start: int
    page_starts: Sequence[int] | None
    score: float
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return the spans that touch the window, in document offsets and in order.

        A table that reaches out of the window is cut at the beginning of a row, and other spans are cut at its ends.
        """
        return self.surroundings.spans

    @property
    def headings(self) -> tuple[str, ...]:
        """Return the path of headings that the passage stands below, the highest first."""
        return tuple(heading for _, heading in self.surroundings.above)

    def headings_at(self, offset: int) -> tuple[str, ...]:
        """Return the path of headings that a place in the passage stands below. A heading does not stand below itself.

        The headings inside the passage count too.
        """
        further = [
            (span.level, heading_words(self.between(span.start, span.end)))
            for span in self.spans
            if span.kind is SpanKind.HEADING and self.char_start <= span.start and span.end <= offset
        ]
        return tuple(heading for _, heading in heading_path(self.surroundings.above, further))

    def table_at(self, offset: int) -> Span | None:
        """Return the table that this code point of the document stands in, or None."""
        return self.surroundings.table_at(offset)

    def column_names(self, offset: int) -> tuple[str, ...]:
        """Return the names of the columns of the row at this code point, wherever the header of its table stands.

        There are none outside a table, and in a table without a header. A column without a name has an empty one.
        """
        return self.surroundings.column_names(offset)

    def rows(self, table: Span) -> list[Row]:
        """Return the rows of one of the tables that touch the passage, header rows left out, in document offsets."""
        below = self._rows(table)[table.level :]
        return [row for row in below if row.start < self.char_end and row.end > self.char_start]

    def _rows(self, table: Span) -> list[Row]:
        moved = replace(table, start=table.start - self.window_start, end=table.end - self.window_start)
        return [row.moved(self.window_start) for row in table_rows(self.window, moved)]

    @property
    def text(self) -> str:
        return self.between(self.char_start, self.char_end)

    def between(self, start: int, end: int) -> str:
        """Return the text between two offsets of the document, which must lie in the window."""
        return self.window[start - self.window_start : end - self.window_start]

    def sentences(self) -> Iterator[tuple[int, int]]:
        """Yield the document offsets of each sentence that touches the passage, in order."""
        return ((piece.start, piece.end) for piece in self.pieces())

    def pieces(self) -> Iterator[Sentence]:
        """Yield each piece that touches the passage, in order: sentences, headings, items, rows, lines of code.

        Its offsets are of the document. Header rows are among them.
        """
        offset = self.window_start
        spans = [replace(span, start=span.start - offset, end=span.end - offset) for span in self.spans]
        page_starts = [start - offset for start in self.page_starts or () if 0 < start - offset < len(self.window)]
        for piece in split_sentences(self.window, spans, page_starts):
            start, end = offset + piece.start, offset + piece.end
            if start < self.char_end and end > self.char_start:
                yield replace(piece, start=start, end=end)

    def quote(self, start: int, end: int, support: Support = "quoted", *, said: str = "") -> Quote:
        """Return the quote between two offsets of the document, which must lie in the window."""
        return Quote(
            document_id=self.document_id,
            text=self.between(start, end),
            char_start=start,
            char_end=end,
            page_starts=self.page_starts,
            score=self.score,
            support=support,
            said=said,
        )


def said(quotes: Sequence[Quote]) -> str:
    """Return an answer that is made of quotes alone."""
    return "\n\n".join(quote.said or quote.text for quote in quotes)


def cite(quotes: Sequence[Quote]) -> tuple[Citation, ...]:
    """Return the citations that callers see for quotes that were proven."""
    return tuple(
        Citation(
            document_id=quote.document_id,
            quote=quote.text,
            char_start=quote.char_start,
            char_end=quote.char_end,
            page=page_at(quote.page_starts, quote.char_start),
            score=quote.score,
            support=quote.support,
        )
        for quote in quotes
    )


def best_of_each(items: Sequence[T], document_of: Callable[[T], UUID], most: int | None) -> Sequence[T]:
    """Return the first `most` items of each document in their order, or all items if `most` is None."""
    if most is None:
        return items
    kept: Counter[UUID] = Counter()
    chosen = []
    for item in items:
        document_id = document_of(item)
        kept[document_id] += 1
        if kept[document_id] <= most:
            chosen.append(item)
    return chosen


def present(passages: Sequence[Passage]) -> tuple[FoundPassage, ...]:
    """Return the passages in the form that callers see."""
    return tuple(
        FoundPassage(
            document_id=passage.document_id,
            text=passage.text,
            char_start=passage.char_start,
            char_end=passage.char_end,
            page=page_at(passage.page_starts, passage.char_start),
            score=passage.score,
        )
        for passage in passages
    )
