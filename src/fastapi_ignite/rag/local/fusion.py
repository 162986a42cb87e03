"""Fuses two rankings by a weighted sum of their scores, in standard deviations from the mean of the candidates.

The two rankings have scores on different scales. If both were scaled to 0..1, the best candidate by words would count
as much where all candidates are alike as where it alone holds a rare word. Reciprocal ranks ignore the scores. The
figures are in docs/adr/0044.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def fuse(candidates: Sequence[Candidate]) -> list[Ranked]:
    """Return the candidates, best first. Of equal ones the older chunk is first, so that an answer repeats.

    A chunk without an embedding is ranked by its words alone: a zero in place of the missing half would sink it below
    every embedded chunk (nDCG@10 on xquad, half of it embedded: 0.62, words alone 0.97). And the dense weight grows
    with the share of the lexical candidates that are embedded: at full weight the best of the first few embedded
    chunks would stand above better ones whose turn has not come.
    """
    words = [candidate.by_words for candidate in candidates]
    weight = DENSE_WEIGHT * _embedded_share(candidates)
    lexical = _standard_scores(words)
    dense = iter(_standard_scores([each.cosine for each in candidates if each.cosine is not None]))
    sums = [
        score if candidate.cosine is None else weight * max(next(dense), _LOWEST_DENSE) + (1 - weight) * score
        for candidate, score in zip(candidates, lexical, strict=True)
    ]
    low, high = min(sums, default=0.0), max(sums, default=0.0)
    span = high - low
    ranked = [
        Ranked(candidate, (value - low) / span if span > 0 else 1.0)
        for candidate, value in zip(candidates, sums, strict=True)
    ]
    return sorted(ranked, key=lambda entry: (-entry.score, entry.candidate.chunk_id))


def _standard_scores(values: Sequence[float]) -> list[float]:
    """Return the distance of each value from the mean, in standard deviations; 0 where all are equal."""
    if not values:
        return []
    mean = fmean(values)
    deviation = pstdev(values, mean)
    return [(value - mean) / deviation if deviation > 0 else 0.0 for value in values]


def _embedded_share(candidates: Iterable[Candidate]) -> float:
    """Return the embedded share of what the words found; what the embeddings found would raise it by its nature."""
    embedded = [candidate.cosine is not None for candidate in candidates if candidate.bm25 > 0]
    return sum(embedded) / len(embedded) if embedded else 1.0
