"""Computes the result of an evaluation, stores it as JSON, and compares two results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastapi_ignite.cli.evaluation.datasets import DatasetError
from fastapi_ignite.cli.evaluation.measures import Difference, compare_pairs, estimate, percentiles
from fastapi_ignite.cli.evaluation.questioning import Observed

FORMAT = 1
# In the order of the tables. docs/evaluation.md says what each is; it is the mean over the questions that have it.
MEASURES = (
    "nDCG@10",
    "recall@10",
    "recall@100",
    "MRR",
    "span hit@10",
    "page hit@10",
    "answer contains",
    "cited span",
    "cited page",
    "cited document right",
    "citation verbatim",
    "refusal precision",
    "refusal recall",
    "answerable refused",
    "rejected repeated",
)
COLUMNS = ("measure", "value", "95 % interval", "questions")
COMPARED_COLUMNS = ("measure", "A", "B", "B - A", "95 % interval", "p", "questions")


@dataclass(frozen=True, slots=True)
class Result:
    """What one run measured. `about` says of which documents, by which server and when."""

    about: Mapping[str, Any]
    questions: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, about: Mapping[str, Any], observed: Observed) -> Result:
        return cls(about, {name: observation.to_json() for name, observation in observed.by_question.items()})

    def values(self, measure: str) -> dict[str, float]:
        """Return the measure of each question that has it."""
        return {
            name: question["measures"][measure]
            for name, question in self.questions.items()
            if measure in question["measures"]
        }

    def latencies(self) -> dict[str, dict[str, float]]:
        """Return percentiles in milliseconds, as the client saw them."""
        kinds = {"search": "search_ms", "ask": "ask_ms"}
        times = {
            kind: [question[key] for question in self.questions.values() if question.get(key) is not None]
            for kind, key in kinds.items()
        }
        return {kind: percentiles(values) for kind, values in times.items() if values}

    def to_json(self) -> dict[str, Any]:
        measured = {name: self.values(name) for name in MEASURES}
        estimates = {name: asdict(estimate(list(values.values()))) for name, values in measured.items() if values}
        return {
            "format": FORMAT,
            "about": dict(self.about),
            "measures": {
                name: {key: round(value, 6) for key, value in figures.items()} for name, figures in estimates.items()
            },
            "latency_ms": self.latencies(),
            "questions": dict(self.questions),
        }

    def rows(self) -> list[Sequence[str]]:
        """Return the rows of a table: the measures with their intervals, and the latencies."""
        rows: list[Sequence[str]] = []
        for name in MEASURES:
            if values := list(self.values(name).values()):
                found = estimate(values)
                rows.append((name, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}", str(found.count)))
        for kind, levels in self.latencies().items():
            rows += [(f"{kind}, {name}", f"{value:.0f} ms", "", "") for name, value in levels.items()]
        return rows


def read_result(path: Path) -> Result:
    """Read what `--output` has written.

    Raises:
        DatasetError: it is no such file.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise DatasetError(f"{path}: format {stored['format']} is not the one that this version reads, {FORMAT}.")
        result = Result(stored["about"], stored["questions"])
        for name in MEASURES:
            if not all(isinstance(value, int | float) for value in result.values(name).values()):
                raise TypeError(name)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(f"{path}: it is not the result of an evaluation (--output).") from None
    return result


def differences(first: Result, second: Result) -> dict[str, Difference]:
    """Compare two runs by the questions that both have."""
    compared = {}
    for name in MEASURES:
        ours, theirs = first.values(name), second.values(name)
        shared = [question for question in ours if question in theirs]
        if shared:
            compared[name] = compare_pairs([ours[each] for each in shared], [theirs[each] for each in shared])
    return compared


def comparison_json(first: Result, second: Result) -> dict[str, Any]:
    compared = differences(first, second)
    return {
        "format": FORMAT,
        "first": dict(first.about),
        "second": dict(second.about),
        "differences": {
            name: {
                "difference": round(found.value, 6),
                **{key: round(value, 6) for key, value in asdict(found).items()},
            }
            for name, found in compared.items()
        },
    }


def comparison_rows(first: Result, second: Result) -> list[Sequence[str]]:
    """Return the rows of a table of the differences."""
    return [
        (
            name,
            f"{found.first:.4f}",
            f"{found.second:.4f}",
            f"{found.value:+.4f}",
            f"{found.low:+.4f} to {found.high:+.4f}",
            f"{found.p_value:.4f}",
            str(found.count),
        )
        for name, found in differences(first, second).items()
    ]
