"""Computes the measures of rankings with `ir-measures`, and intervals and tests with SciPy.

Both are in the extra `eval`, which a server does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from fastapi_ignite.core.errors import ConfigurationError

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 20
# the largest number of values that SciPy resamples in one array
BATCH_VALUES = 2_000_000
FEWEST = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean over `count` questions, and the interval in which it lies with 95 % confidence."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of B minus that of A over the `count` questions that both have, its interval, and the chance of a
    difference of this size if A and B were alike.
    """

    first: float
    second: float
    low: float
    high: float
    p_value: float
    count: int

    @property
    def value(self) -> float:
        return self.second - self.first


def require_libraries() -> None:
    """Raise a ConfigurationError if the extra is not installed."""
    if find_spec("ir_measures") is None or find_spec("scipy") is None:
        raise ConfigurationError(
            "The evaluation needs ir-measures and SciPy. Install them with 'make evaluation' or "
            "'pip install -r requirements-eval.txt'."
        )


def ranking_measures(
    relevant: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Return nDCG@10, recall at 10 and 100, and the reciprocal rank of each question that has a judgement."""
    import ir_measures  # noqa: PLC0415  # it is only there with the extra
    from ir_measures import RR, R, nDCG  # noqa: PLC0415

    names: dict[Any, str] = {nDCG @ 10: "nDCG@10", R @ 10: "recall@10", R @ 100: "recall@100", RR: "MRR"}
    # scores that fall with the rank, so that no tie is broken by the document's name
    run = {
        query: {document: float(len(ranking) - rank) for rank, document in enumerate(ranking)}
        for query, ranking in rankings.items()
    }
    judged = {query: dict(grades) for query, grades in relevant.items() if grades}
    values: dict[str, dict[str, float]] = {query: {} for query in judged}
    for metric in ir_measures.iter_calc(list(names), judged, run):
        values[metric.query_id][names[metric.measure]] = metric.value
    return values


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean with its bootstrap interval (percentiles of the means of resampled questions)."""
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(sample) < FEWEST or np.ptp(sample) == 0:
        return Estimate(mean, mean, mean, len(sample))
    low, high = _interval(sample)
    return Estimate(mean, low, high, len(sample))


def compare_pairs(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two runs on the same questions in the same order.

    The interval is of the mean difference, by bootstrap. The p-value is of a paired randomisation test: how often the
    means differ as much if A's and B's values are swapped at random within the questions.
    """
    from scipy.stats import permutation_test  # noqa: PLC0415  # it is only there with the extra

    ours, theirs = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    differences = theirs - ours
    mean = float(differences.mean())
    low = high = mean
    p_value = 1.0
    if len(differences) >= FEWEST and np.any(differences):
        if np.ptp(differences) > 0:
            low, high = _interval(differences)
        tested = permutation_test(
            (ours, theirs),
            lambda a, b, axis: (b - a).mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=_batch(differences),
            rng=np.random.default_rng(SEED),
        )
        p_value = float(tested.pvalue)
    return Difference(float(ours.mean()), float(theirs.mean()), low, high, p_value, len(differences))


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th and 99th percentile."""
    if not milliseconds:
        return {}
    return {f"p{level}": round(float(np.percentile(milliseconds, level)), 2) for level in (50, 95, 99)}


def _interval(sample: Any) -> tuple[float, float]:
    from scipy.stats import bootstrap  # noqa: PLC0415  # it is only there with the extra

    resampled = bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        batch=_batch(sample),
        rng=np.random.default_rng(SEED),
    )
    return float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)


def _batch(sample: Any) -> int:
    return max(1, BATCH_VALUES // len(sample))
