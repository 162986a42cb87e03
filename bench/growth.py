"""Tells what grows while a program works: a table of its figures over time, and the growth of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, median, quantiles

Fold = Callable[[Sequence[float]], float]


def p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


class Timeline:
    """Holds values by name, and folds those of each period into one. What comes late counts for the last period."""

    def __init__(self, seconds: float, periods: int) -> None:
        self._period = seconds / periods
        self._count = periods
        self._periods: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, name: str, at: float, value: float) -> None:
        self._periods[name][min(int(at // self._period), self._count - 1)].append(value)

    def table(self, folds: dict[str, Fold]) -> Iterator[str]:
        """Yield the lines of a table. A name that begins with one of `folds` has a row with that fold, else medians.

        The growth is the mean of the last third of the periods to that of the middle third: the first third warms up.
        """
        ends = [f"{(number + 1) * self._period:.0f} s" for number in range(self._count)]
        yield f"| until | {' | '.join(ends)} | growth |"
        yield "| --- " * (self._count + 2) + "|"
        for name, periods in sorted(self._periods.items()):
            fold = next((found for begin, found in folds.items() if name.startswith(begin)), median)
            values = [fold(periods[number]) if number in periods else None for number in range(self._count)]
            shown = ["" if value is None else f"{value:.0f}" for value in values]
            yield f"| {name} | {' | '.join(shown)} | {growth(values)} |"


def growth(values: Sequence[float | None]) -> str:
    """Return the last third to the middle third, or nothing if one of them has no value."""
    third = len(values) // 3
    middle, last = (
        [value for value in part if value is not None]
        for part in (values[third : len(values) - third], values[len(values) - third :])
    )
    return f"{fmean(last) / fmean(middle):.2f}" if middle and last and fmean(middle) else ""
