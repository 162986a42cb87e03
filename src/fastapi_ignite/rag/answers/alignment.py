"""Finds sentences of our documents that support what a model says, where it gave no quote itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.sentences import LONGEST

QUOTES = 5
# A sentence of the cited source must hold this share of a statement's terms to support it.
CITED = 0.3
# Where the model names no source, a sentence must hold more.
UNCITED = 0.6


@dataclass(frozen=True, slots=True)
class Statement:
    """A stretch of the answer. `source` is what the model cited for it, if anything."""

    text: str
    source: str | None


def align(
    statements: Sequence[Statement], passages: Sequence[tuple[str, Passage]], *, trust_named_source: bool
) -> list[Quote]:
    """Return for each statement the sentence of its sources that shares most of its terms, if one shares enough.

    With `trust_named_source`, a statement without such a sentence gets one of the source that it names.
    """
    read = [_read(source, passage) for source, passage in passages]
    chosen: list[Quote] = []
    for statement in statements:
        terms = frozenset(analyze(statement.text))
        best = _aligned(statement.source, terms, read)
        if best is None and trust_named_source:
            best = _retrieved(terms, [source for source in read if source.name == statement.source])
        if best and not any(_same_place(best, other) for other in chosen):
            chosen.append(best)
            if len(chosen) == QUOTES:
                break
    return chosen


@dataclass(frozen=True, slots=True)
class _Source:
    """A passage that is analyzed once, since an answer may cite it a thousand times."""

    name: str
    passage: Passage
    terms: frozenset[str]
    sentences: list[tuple[Quote, frozenset[str]]]


def _read(name: str, passage: Passage) -> _Source:
    quotes = [passage.quote(start, end, "aligned") for start, end in passage.sentences()]
    sentences = [(quote, frozenset(analyze(quote.text))) for quote in quotes]
    return _Source(name, passage, frozenset(analyze(passage.text)), sentences)


def _aligned(named: str | None, terms: frozenset[str], sources: Sequence[_Source]) -> Quote | None:
    best, share = None, CITED if named else UNCITED
    for source in sources:
        if named not in {None, source.name} or not terms:
            continue
        for quote, words in source.sentences:
            covered = len(terms & words) / len(terms)
            if covered > share or (best is None and covered == share):
                best, share = quote, covered
    return best


def _retrieved(terms: frozenset[str], of_source: Sequence[_Source]) -> Quote | None:
    """Quote the best passage of a source that the model names but does not repeat, as in another language.

    The quote is the sentence that shares most terms with the statement, or the first sentences where none shares any.
    """
    if not of_source:
        return None
    best = max(of_source, key=lambda each: (len(terms & each.terms), each.passage.score))
    passage, sentences = best.passage, [quote for quote, _ in best.sentences]
    if not sentences:
        return None
    shared = [len(terms & words) for _, words in best.sentences]
    first = shared.index(max(shared))
    last = first
    while not any(shared) and last + 1 < len(sentences):
        if sentences[last + 1].char_end - sentences[first].char_start > LONGEST:
            break
        last += 1
    start, end = sentences[first].char_start, sentences[last].char_end
    return passage.quote(start, end, "retrieved")


def _same_place(one: Quote, other: Quote) -> bool:
    return (one.document_id, one.char_start) == (other.document_id, other.char_start)
