"""A passage was found in a project's documents. A quote is a stretch of it that an answer shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from fastapi_ignite.rag.engine import Citation, FoundPassage, Support
from fastapi_ignite.rag.extraction import page_at
from fastapi_ignite.rag.text.sentences import LONGEST, split_sentences

REFUSAL = "The documents of this project do not hold an answer to this question."
# Characters read on each side of a passage, so that no sentence which touches it is cut.
WINDOW_MARGIN = LONGEST + 100


@dataclass(frozen=True, slots=True)
class Quote:
    """A verbatim stretch of a document. Offsets count code points of the document's text, end exclusive."""

    document_id: UUID
    text: str
    char_start: int
    char_end: int
    page_starts: Sequence[int] | None
    score: float
    support: Support = "quoted"


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document that was found, with the text around it, so that its first and last sentence are whole.

    `window` begins at code point `window_start` of the document. `score` is between 0 and 1.
    """

    document_id: UUID
    char_start: int
    char_end: int
    window: str
    window_start: int
    page_starts: Sequence[int] | None
    score: float

    @property
    def text(self) -> str:
        return self.between(self.char_start, self.char_end)

    def between(self, start: int, end: int) -> str:
        """Return the text between two offsets of the document, which must lie in the window."""
        return self.window[start - self.window_start : end - self.window_start]

    def sentences(self) -> Iterator[tuple[int, int]]:
        """Yield the document offsets of each sentence that touches the passage, in order."""
        for sentence in split_sentences(self.window):
            start, end = self.window_start + sentence.start, self.window_start + sentence.end
            if start < self.char_end and end > self.char_start:
                yield start, end

    def quote(self, start: int, end: int, support: Support = "quoted") -> Quote:
        """Return the quote between two offsets of the document, which must lie in the window."""
        return Quote(
            document_id=self.document_id,
            text=self.between(start, end),
            char_start=start,
            char_end=end,
            page_starts=self.page_starts,
            score=self.score,
            support=support,
        )


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
