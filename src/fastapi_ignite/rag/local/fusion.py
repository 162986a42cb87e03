"""Fuses two rankings by a weighted sum of standard scores: by how many standard deviations a candidate is better than
the average candidate of its question. Decision 44 has what else was tried, and the figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import NamedTuple
from uuid import UUID

DENSE_WEIGHT = 0.57
# What the second best passage of a document adds to its best one: this share of its score above the threshold, which is
# a fifth of a standard deviation. A document that speaks of the question twice is more likely to be about it.
SECOND_PASSAGE = 0.05
SECOND_ABOVE = 0.2
# The candidates of each search that the averages are taken of, however many more are ranked: otherwise more wanted
# results would change the order of the first ones.
SCALED_BY = 100


class Candidate(NamedTuple):
    """A chunk that either search found, with its exact score in both. `cosine` is None while it is not embedded."""

    chunk_id: UUID
    document_id: UUID
    bm25: float
    cosine: float | None


class Ranked(NamedTuple):
    """A candidate with its fused score, between 0 and 1, which is comparable within one question only."""

    candidate: Candidate
    score: float


@dataclass(frozen=True, slots=True)
class _Scale:
    """The mean and the standard deviation of some scores."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Scale:
        mean = math.fsum(values) / len(values) if values else 0.0
        variance = math.fsum((value - mean) ** 2 for value in values) / len(values) if values else 0.0
        return cls(mean, math.sqrt(variance))

    def standard(self, value: float) -> float:
        return (value - self.mean) / self.deviation if self.deviation > 0 else 0.0


def fuse(candidates: Sequence[Candidate]) -> list[Ranked]:
    """Return the candidates, best first. Of equal ones the older chunk is first, so that an answer repeats.

    A chunk without an embedding is ranked by its words alone: a zero in place of the missing half would sink it below
    every embedded chunk (nDCG@10 on xquad, half of it embedded: 0.62, words alone 0.97). And the dense weight grows
    with the share of the lexical candidates that are embedded: at full weight the best of the first few embedded
    chunks would stand above better ones whose turn has not come (cranfield, a twentieth embedded: 0.347, with the
    growing weight 0.384, words alone 0.385).
    """
    if not candidates:
        return []
    reference = _reference(candidates)
    words = _Scale.of([candidates[position].bm25 for position in reference])
    cosines = (candidates[position].cosine for position in reference)
    meaning = _Scale.of([cosine for cosine in cosines if cosine is not None])
    share = _embedded_share(candidates)
    weight = DENSE_WEIGHT * share

    scores = []
    for candidate in candidates:
        score = words.standard(candidate.bm25)
        if candidate.cosine is not None:
            score = weight * meaning.standard(candidate.cosine) + (1 - weight) * score
        scores.append(score)
    low = min(scores[position] for position in reference)
    _add_second_passages(candidates, scores, SECOND_PASSAGE * share)
    span = max(scores) - low
    ranked = [
        Ranked(candidate, max(score - low, 0.0) / span if span > 0 else 1.0)
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    return sorted(ranked, key=lambda entry: (-entry.score, entry.candidate.chunk_id))


def _reference(candidates: Sequence[Candidate]) -> Sequence[int]:
    """Return the positions of the best candidates by words and of the best by meaning."""
    if len(candidates) <= SCALED_BY:
        return range(len(candidates))
    by_words = [(candidate.bm25, position) for position, candidate in enumerate(candidates) if candidate.bm25 > 0]
    by_meaning = [
        (candidate.cosine, position) for position, candidate in enumerate(candidates) if candidate.cosine is not None
    ]
    best = {position for ranking in (by_words, by_meaning) for _, position in nlargest(SCALED_BY, ranking)}
    return sorted(best) or range(len(candidates))


def _add_second_passages(candidates: Sequence[Candidate], scores: list[float], factor: float) -> None:
    """Add to the best candidate of each document what its second best one is worth."""
    best: dict[UUID, int] = {}
    second: dict[UUID, float] = {}
    for position in sorted(range(len(scores)), key=lambda position: (-scores[position], candidates[position].chunk_id)):
        document_id = candidates[position].document_id
        if best.setdefault(document_id, position) != position:
            second.setdefault(document_id, scores[position])
    for document_id, score in second.items():
        scores[best[document_id]] += factor * max(score - SECOND_ABOVE, 0.0)


def _embedded_share(candidates: Iterable[Candidate]) -> float:
    """Return the embedded share of what the words found; what the embeddings found would raise it by its nature."""
    embedded = [candidate.cosine is not None for candidate in candidates if candidate.bm25 > 0]
    return sum(embedded) / len(embedded) if embedded else 1.0
