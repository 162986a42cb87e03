"""Sentences of our own documents that bear out what a model says, where it gave no quote itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi_ignite.rag.local.analysis import analyze
from fastapi_ignite.rag.local.answering import Passage, Quote
from fastapi_ignite.rag.local.sentences import split_sentences

QUOTES = 5
# The share of a statement's terms that a sentence of the cited source must hold to stand as its proof.
CITED = 0.3
# Where the model names no source the words alone must tell.
UNCITED = 0.6


@dataclass(frozen=True, slots=True)
class Statement:
    """A stretch of the answer; `source` is what the model cited for it, if anything."""

    text: str
    source: str | None


def align(statements: Sequence[Statement], passages: Sequence[tuple[str, Passage]]) -> list[Quote]:
    """For each statement the sentence of its sources that says most of it; none where no sentence does."""
    sentences = [
        (source, frozenset(analyze(quote.text)), quote)
        for source, passage in passages
        for quote in _sentences_of(passage)
    ]
    chosen: list[Quote] = []
    for statement in statements:
        terms = frozenset(analyze(statement.text))
        best, share = None, CITED if statement.source else UNCITED
        for source, words, quote in sentences:
            if statement.source not in {None, source} or not terms:
                continue
            covered = len(terms & words) / len(terms)
            if covered > share or (best is None and covered == share):
                best, share = quote, covered
        if best and not any(_same_place(best, other) for other in chosen):
            chosen.append(best)
    return chosen[:QUOTES]


def _same_place(one: Quote, other: Quote) -> bool:
    return (one.document_id, one.char_start) == (other.document_id, other.char_start)


def _sentences_of(passage: Passage) -> Iterator[Quote]:
    for sentence in split_sentences(passage.window):
        start, end = passage.window_start + sentence.start, passage.window_start + sentence.end
        if start < passage.char_end and end > passage.char_start:
            yield Quote(
                document_id=passage.document_id,
                text=passage.window[sentence.start : sentence.end],
                char_start=start,
                char_end=end,
                page_starts=passage.page_starts,
                score=passage.score,
            )
