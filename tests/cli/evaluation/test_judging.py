"""What counts as found, as cited and as a right refusal."""

from __future__ import annotations

import pytest

from fastapi_ignite.cli.evaluation.datasets import Evidence, Question
from fastapi_ignite.cli.evaluation.judging import (
    Answered,
    Observation,
    Passage,
    judge_answer,
    judge_places,
    ranked_documents,
)

LONG = "Revenue of the year was 16,388 million for subscriptions and 532 million for products, services had 686 million"


def places(question: Question, *passages: Passage) -> dict[str, float]:
    return judge_places(question, Observation([], passages, 1.0))


@pytest.mark.parametrize(
    ("passage", "hit"),
    [
        (Passage("a", 1, "The orchard keeps\n  NINE apple trees."), 1.0),
        (Passage("b", 1, "The orchard keeps nine apple trees."), 0.0),
        (Passage("a", 1, "The orchard keeps ten apple trees."), 0.0),
        (Passage(None, 1, "nine apple trees"), 0.0),
        (Passage("a", 1, ""), 0.0),
    ],
)
def test_a_quote_is_found_in_a_passage_of_its_document(passage: Passage, hit: float) -> None:
    question = Question("q", "?", evidence=[Evidence("a", quote="nine  apple trees")])
    assert places(question, passage) == {"span hit@10": hit}


def test_a_long_quote_may_be_read_in_another_order() -> None:
    question = Question("q", "?", evidence=[Evidence("a", quote=LONG)])
    words = LONG.split()
    assert places(question, Passage("a", None, " ".join(reversed(words))))["span hit@10"] == 1
    assert places(question, Passage("a", None, LONG[: len(LONG) // 2]))["span hit@10"] == 1, "a part of it"
    half = " ".join(words[:9]) + " and much else that is not in there"
    assert places(question, Passage("a", None, half))["span hit@10"] == 0


def test_only_the_first_ten_passages_count_and_pages_are_apart() -> None:
    question = Question("q", "?", evidence=[Evidence("a", page=3)])
    there, elsewhere = Passage("a", 3, "x"), Passage("a", 4, "x")
    assert places(question, *[elsewhere] * 9, there) == {"page hit@10": 1.0}
    assert places(question, *[elsewhere] * 10, there) == {"page hit@10": 0.0}
    assert places(Question("q", "?", evidence=[Evidence("a")]), there) == {}


def test_an_answer_is_judged_by_what_is_known() -> None:
    question = Question(
        "q", "?", {"a": 1}, answers=["ten", "Nine trees"], evidence=[Evidence("a", 3, "nine trees")], answerable=True
    )
    answered = Answered(
        "It keeps nine\ntrees.",
        refused=False,
        citations=[Passage("a", 3, "It keeps nine trees."), Passage("b", 3, "Other trees.")],
        verbatim=[True, False],
    )
    assert judge_answer(question, answered) == {
        "answerable refused": 0.0,
        "answer contains": 1.0,
        "cited span": 1.0,
        "cited page": 1.0,
        "cited document right": 0.5,
        "citation verbatim": 0.5,
    }


def test_a_refusal_of_what_has_an_answer_misses_everything() -> None:
    question = Question("q", "?", {"a": 1}, answers=["not"], evidence=[Evidence("a", 3, "nine")], answerable=True)
    assert judge_answer(question, Answered("The documents do not hold an answer.", refused=True)) == {
        "refusal precision": 0.0,
        "answerable refused": 1.0,
        "answer contains": 0.0,
        "cited span": 0.0,
        "cited page": 0.0,
    }


def test_what_must_be_refused_is_judged_by_that_alone() -> None:
    question = Question("q", "?", answerable=False)
    assert judge_answer(question, Answered("No.", refused=True)) == {"refusal precision": 1.0, "refusal recall": 1.0}
    answered = Answered("Yes.", refused=False, citations=[Passage("a", 1, "Yes.")], verbatim=[True])
    assert judge_answer(question, answered) == {"refusal recall": 0.0}


def test_a_rejected_answer_is_only_compared() -> None:
    question = Question("q", "?", rejected=["It is  blue."])
    assert judge_answer(question, Answered("it is blue.", refused=False)) == {"rejected repeated": 1.0}
    assert judge_answer(question, Answered("It is green.", refused=False)) == {"rejected repeated": 0.0}


def test_a_document_stands_where_its_best_passage_does() -> None:
    results = [{"filename": name} for name in ("b.md", "a.md", "b.md", "stranger.md", "c.md")]
    assert ranked_documents(results, {"a.md": "a", "b.md": "b", "c.md": "c"}) == ["b", "a", "c"]
