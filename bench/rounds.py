"""Measurements that take turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """Compares two measurements: the median of the ratios within the rounds, the smallest and the largest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def compare(own: Sequence[float], other: Sequence[float]) -> Ratio:
    """Divide what was measured in each round by the other measurement of the same round."""
    ratios = [mine / its for mine, its in zip(own, other, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))
