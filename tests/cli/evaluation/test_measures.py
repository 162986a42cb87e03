"""The figures are those of the field's definitions, and their intervals and tests say what they should."""

from __future__ import annotations

import math
import random
import sys

import pytest

from fastapi_ignite.cli.evaluation.judging import Observation
from fastapi_ignite.cli.evaluation.measures import (
    compare_pairs,
    estimate,
    percentiles,
    ranking_measures,
    require_libraries,
)
from fastapi_ignite.cli.evaluation.questioning import Observed
from fastapi_ignite.cli.evaluation.report import Result, comparison_json, comparison_rows, differences
from fastapi_ignite.core.errors import ConfigurationError


def test_measures_of_a_ranking_worked_out_by_hand() -> None:
    ranking = ["x", "a", "y", *map(str, range(8)), "c"]
    found = ranking_measures({"q": {"a": 1, "b": 1, "c": 2}, "unjudged": {}}, {"q": ranking, "unjudged": ["a"]})
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == {
        "q": {
            "nDCG@10": pytest.approx(1 / math.log2(3) / ideal),
            "recall@10": pytest.approx(1 / 3),
            "recall@100": pytest.approx(2 / 3),
            "MRR": pytest.approx(1 / 2),
        }
    }


def test_a_question_for_which_nothing_was_found_counts_as_zero() -> None:
    assert set(ranking_measures({"q": {"a": 1}}, {"q": []})["q"].values()) == {0.0}


def test_the_interval_is_about_the_mean_and_narrows_with_more_questions() -> None:
    chance = random.Random(5)
    values = [chance.random() for _ in range(800)]
    few, many = estimate(values[:50]), estimate(values)
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 2
    # 1.96 standard errors of the uniform distribution on each side
    assert many.high - many.low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / 800), rel=0.1)
    assert estimate(values) == many, "the same each time"
    assert (estimate([0.3]).low, estimate([1.0, 1.0]).high) == (0.3, 1.0)


def test_a_paired_test_sees_a_small_difference_that_is_always_there() -> None:
    """The questions differ far more from each other than the runs do."""
    chance = random.Random(7)
    first = [chance.random() for _ in range(200)]
    better = compare_pairs(first, [value + 0.01 + chance.uniform(-0.02, 0.02) for value in first])
    assert better.value == pytest.approx(0.01, abs=0.004)
    assert 0 < better.low < better.value < better.high
    assert better.p_value < 0.001
    alike = compare_pairs(first, [value + chance.uniform(-0.02, 0.02) for value in first])
    assert alike.low < 0 < alike.high
    assert alike.p_value > 0.05


def test_equal_runs_do_not_differ() -> None:
    same = compare_pairs([0.1, 0.9], [0.1, 0.9])
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_percentiles_of_times() -> None:
    assert percentiles([float(value) for value in range(1, 102)]) == {"p50": 51.0, "p95": 96.0, "p99": 100.0}
    assert percentiles([]) == {}


@pytest.mark.parametrize("library", ["ir_measures", "scipy"])
def test_without_the_libraries_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    require_libraries()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match="Install them with 'make evaluation' or 'pip install"):
        require_libraries()


def result(**values: float) -> Result:
    observed = Observed()
    for name, value in values.items():
        observed.by_question[name] = Observation(["d"], [], 10.0, measures={"nDCG@10": value})
    return Result.of({"dataset": "made"}, observed)


def test_runs_are_compared_by_the_questions_that_both_have() -> None:
    found = differences(result(a=0.2, b=0.4, c=1.0), result(a=0.3, b=0.5, d=0.0))
    assert list(found) == ["nDCG@10"]
    assert found["nDCG@10"].count == 2
    assert found["nDCG@10"].value == pytest.approx(0.1)
    (row,) = comparison_rows(result(a=0.2), result(a=0.3))
    assert row[:4] == ("nDCG@10", "0.2000", "0.3000", "+0.1000")
    assert comparison_json(result(a=0.2), result(a=0.3))["differences"]["nDCG@10"]["difference"] == 0.1


def test_a_result_has_its_latencies() -> None:
    assert result(a=0.2).latencies() == {"search": {"p50": 10.0, "p95": 10.0, "p99": 10.0}}
    assert ("search, p50", "10 ms", "", "") in result(a=0.2).rows()
