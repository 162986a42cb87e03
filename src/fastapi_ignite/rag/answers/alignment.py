"""Finds pieces of our documents that bear out what a model says, where it gave no quote itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.answers.pieces import Piece, pieces_of
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.facts import numbers_in
from fastapi_ignite.rag.text.negation import negated_terms
from fastapi_ignite.rag.text.sentences import LONGEST

QUOTES: Final = 5
# A piece of the cited source bears a statement out if it holds this share of its terms, and all of its numbers.
CITED: Final = 0.5
# Where the model names no source, a piece must hold more.
UNCITED: Final = 0.6
# Text in another language has hardly a word of the source, its small words included.
_FOREIGN: Final = 0.2
_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A stretch of the answer. `source` is what the model cited for it, if anything."""

    text: str
    source: str | None


def align(
    statements: Sequence[Statement], passages: Sequence[tuple[str, Passage]], *, trust_named_source: bool
) -> list[Quote]:
    """Return for each statement the piece of its sources that bears it out best, if one does.

    With `trust_named_source`, a statement in another language than the source it names, of which no words can be
    compared, is cited from there.
    """
    read = [_read(source, passage) for source, passage in passages]
    chosen: list[Quote] = []
    for statement in statements:
        said = _Said.of(statement.text)
        best = _aligned(statement.source, said, read)
        if best is None and trust_named_source:
            best = _retrieved(said, [source for source in read if source.name == statement.source])
        if best and not any(_same_place(best, other) for other in chosen):
            chosen.append(best)
            if len(chosen) == QUOTES:
                break
    return chosen


@dataclass(frozen=True, slots=True)
class _Said:
    """The content of a statement or a piece: its terms, its numbers, and the things that it denies."""

    terms: frozenset[str]
    numbers: frozenset[str]
    negated: frozenset[str]
    words: frozenset[str]

    @classmethod
    def of(cls, text: str, negated: frozenset[str] | None = None) -> _Said:
        words = frozenset(word.casefold() for word in _WORD.findall(text))
        denied = negated_terms(text) if negated is None else negated
        return cls(frozenset(analyze(text)), numbers_in(text), denied, words)

    def share_in(self, other: _Said) -> float:
        """Return the share of the terms that the other holds, or 0 if it lacks a number or says the opposite."""
        if not self.terms or not self.numbers <= other.numbers or self._is_denied_by(other):
            return 0.0
        return len(self.terms & other.terms) / len(self.terms)

    def _is_denied_by(self, other: _Said) -> bool:
        denied_here = self.negated & other.terms
        denied_there = other.negated & self.terms
        return bool(denied_here) != bool(denied_there)


@dataclass(frozen=True, slots=True)
class _Source:
    """A passage that is analyzed once, since an answer may cite it a thousand times."""

    name: str
    passage: Passage
    said: _Said
    pieces: list[tuple[Piece, _Said]]


def _read(name: str, passage: Passage) -> _Source:
    pieces = [piece for piece in pieces_of(passage) if not piece.is_question and not piece.leads]
    # the headings above a piece say what it is about, as the names of columns do
    said = [_Said.of("\n".join([*piece.context, piece.said]), piece.negated) for piece in pieces]
    return _Source(name, passage, _Said.of(passage.text), list(zip(pieces, said, strict=True)))


def _aligned(named: str | None, said: _Said, sources: Sequence[_Source]) -> Quote | None:
    best: Piece | None = None
    most = CITED if named else UNCITED
    for source in sources:
        if named not in {None, source.name}:
            continue
        for piece, words in source.pieces:
            share = said.share_in(words)
            if share > most or (best is None and share == most):
                best, most = piece, share
    return best.passage.quote(best.start, best.end, "aligned") if best else None


def _retrieved(said: _Said, of_source: Sequence[_Source]) -> Quote | None:
    """Quote the best passage of a source in another language: the piece with the names and numbers of the statement.

    Where they have none in common, the quote is the beginning of the passage.
    """
    foreign = [source for source in of_source if said.numbers <= source.said.numbers and _is_foreign(said, source.said)]
    if not foreign:
        return None
    best = max(foreign, key=lambda source: (len(said.terms & source.said.terms), source.passage.score))
    fitting = [(piece, words) for piece, words in best.pieces if said.numbers <= words.numbers]
    if not fitting:
        return None
    shared = [len(said.terms & words.terms) for _, words in fitting]
    first = fitting[shared.index(max(shared))][0]
    end = first.end
    if not any(shared):
        end = max(piece.end for piece, _ in fitting if piece.end - first.start <= LONGEST or piece is first)
    return best.passage.quote(first.start, end, "retrieved")


def _is_foreign(said: _Said, source: _Said) -> bool:
    """Return whether the statement is in another language: of its words, small ones included, hardly any is there."""
    return bool(said.words) and len(said.words & source.words) <= _FOREIGN * len(said.words)


def _same_place(one: Quote, other: Quote) -> bool:
    return (one.document_id, one.char_start) == (other.document_id, other.char_start)
