"""Fuses two rankings by a weighted sum of their scores, in standard deviations from the mean of the candidates.

The two rankings have scores on different scales. If both were scaled to 0..1, the best candidate by words would count
as much where all candidates are alike as where it alone holds a rare word. Reciprocal ranks ignore the scores. The
figures are in docs/adr/0044.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nlargest
from statistics import fmean, pstdev
from typing import NamedTuple
from uuid import UUID

# The best of 0.5, 0.55, 0.6, 0.65 on cranfield, SciFact and XQuAD together.
DENSE_WEIGHT = 0.6
# The cosine of a candidate that only the words have found may be very low. It never counts as less than this, so that a
# word which only one document holds brings that document to the top.
_LOWEST_DENSE = -1.0


class Candidate(NamedTuple):
    """A chunk that either search found, with its exact scores in both.

    `cosine` is None while the chunk is not embedded. `part_bm25` is the score of the part of its document that it
    belongs to, or None in chunks of a version that had no parts.
    """

    chunk_id: UUID
    document_id: UUID
    bm25: float
    cosine: float | None
    part_bm25: float | None = None

    @property
    def by_words(self) -> float:
        """Return the chunk's score with its part's; 0 where the chunk holds no word of the question."""
        if self.bm25 <= 0:
            return 0.0
        return self.bm25 + (self.bm25 if self.part_bm25 is None else self.part_bm25)


class Ranked(NamedTuple):
    """A candidate with its fused score, between 0 and 1, which is comparable within one question only."""

    candidate: Candidate
    score: float


def fuse(candidates: Sequence[Candidate], scaled_by: int | None = None) -> list[Ranked]:
    """Return the candidates, best first. Of equal ones the older chunk is first, so that an answer repeats.

    A chunk without an embedding is ranked by its words alone: a zero in place of the missing half would sink it below
    every embedded chunk (nDCG@10 on xquad, half of it embedded: 0.62, words alone 0.97). And the dense weight grows
    with the share of the lexical candidates that are embedded: at full weight the best of the first few embedded
    chunks would stand above better ones whose turn has not come.

    Mean and deviation are those of the best `scaled_by` candidates of each leg; with None of all. A search that goes
    deeper than usual must say how deep that is: otherwise more wanted results would change the order of the first ones.
    """
    weight = DENSE_WEIGHT * _embedded_share(candidates)
    reference = range(len(candidates)) if scaled_by is None else _reference(candidates, scaled_by)
    lexical = _Scale.of([candidates[position].by_words for position in reference])
    cosines = (candidates[position].cosine for position in reference)
    dense = _Scale.of([cosine for cosine in cosines if cosine is not None])
    sums = []
    for candidate in candidates:
        score = lexical.standard(candidate.by_words)
        if candidate.cosine is not None:
            score = weight * max(dense.standard(candidate.cosine), _LOWEST_DENSE) + (1 - weight) * score
        sums.append(score)
    low, high = min(sums, default=0.0), max(sums, default=0.0)
    span = high - low
    ranked = [
        Ranked(candidate, (value - low) / span if span > 0 else 1.0)
        for candidate, value in zip(candidates, sums, strict=True)
    ]
    return sorted(ranked, key=lambda entry: (-entry.score, entry.candidate.chunk_id))


class _Scale(NamedTuple):
    """The mean and the standard deviation of some scores."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Scale:
        mean = fmean(values) if values else 0.0
        return cls(mean, pstdev(values, mean) if values else 0.0)

    def standard(self, value: float) -> float:
        """Return the distance from the mean in standard deviations; 0 where all are equal."""
        return (value - self.mean) / self.deviation if self.deviation > 0 else 0.0


def _reference(candidates: Sequence[Candidate], most: int) -> Sequence[int]:
    """Return the positions of the best candidates by words and of the best by meaning."""
    by_words = [(candidate.by_words, position) for position, candidate in enumerate(candidates) if candidate.bm25 > 0]
    by_meaning = [
        (candidate.cosine, position) for position, candidate in enumerate(candidates) if candidate.cosine is not None
    ]
    best = {position for leg in (by_words, by_meaning) for _, position in nlargest(most, leg)}
    return sorted(best) or range(len(candidates))


def _embedded_share(candidates: Iterable[Candidate]) -> float:
    """Return the embedded share of what the words found; what the embeddings found would raise it by its nature."""
    embedded = [candidate.cosine is not None for candidate in candidates if candidate.bm25 > 0]
    return sum(embedded) / len(embedded) if embedded else 1.0
