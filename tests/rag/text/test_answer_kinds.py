"""Tests of the kind of answer that a question asks for, and of the texts that hold one."""

from __future__ import annotations

import time

import pytest

from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.answer_kinds import AnswerKind, asked_kind, holds_kind, relation_terms

KINDS = {
    "person": ("Who restored the clock?", "To whom do I write?"),
    "place": ("Where was he born?",),
    "time": ("When does the bus run?", "In what year did it open?", "What are the opening hours?", "Wann beginnt es?"),
    "duration": ("How long does it take?", "How old is the clock?", "Wie lange dauert es?"),
    "money": ("How much does it cost?", "What is the daily fee?", "What do children pay?", "How much is a ticket?"),
    "count": ("How many people visit it?", "Combien de salariés a-t-elle?"),
    "measure": ("How tall is the tower?",),
    "amount": ("How much bread may I take home?",),
    "phone": ("What is the phone number of the desk?",),
    "email": ("What is the email address of the desk?",),
    "colour": ("What colour is the lamp?",),
    None: ("Is the clock old?", "What is a sundial?", "When the lamp is red, what must I do?", "Why is it closed?"),
}
TOLD = (
    ("Who restored the clock?", "The clock was restored by Lucia Frei.", "The clock was restored in 2015."),
    ("Who lends the tents?", "The fire brigade lends the tents.", "The tents are lent again in May."),
    ("Who is the treasurer?", "The treasurer is Jonas Vetter.", "The treasurer reports once a year."),
    ("Where is the regatta?", "The regatta is on the lake.", "The regatta is on 22 August."),
    ("When does the bus run?", "The bus runs at 9:15.", "The bus stops in front of hall 4."),
    (
        "Who must countersign it?",
        "It must be coun\u00adter\u00adsigned by the quarter\u00admaster.",
        "It was countersigned.",
    ),
    ("How much does the tenant pay?", "The tenant pays eight hundred crowns.", "The tenant paid in 2015."),
    ("When is a car rented?", "A car is rented only where no train runs.", "A car is rented in the lobby."),
    ("How long is the tour?", "The tour lasts an hour.", "The tour ends in a hall."),
    ("How much is the fee?", "The fee is 30 francs.", "The fee stays as it is."),
    ("How much does the NR-3 cost?", "The NR-3 costs 900 euros.", "The price of the NR-3 is not known."),
    ("How much is a lunch?", "A lunch is 2.80 a day.", "A lunch is served at 12."),
    ("How many members are there?", "The club has 90 members.", "The club has 41,300 francs."),
    ("How tall is the clock?", "The clock is 3 metres tall.", "The clock is from 1487."),
    ("What is the phone number of the desk?", "The desk has extension 7112.", "The desk answers within 4 hours."),
    ("What is the email address of Ines?", "Write to ines@example.com.", "Ines wrote the report."),
    ("What colour is the lamp?", "The lamp is green.", "The lamp is lit."),
)


@pytest.mark.parametrize(("kind", "question"), [(kind, each) for kind, asked in KINDS.items() for each in asked])
def test_the_question_word_tells_the_kind(kind: str | None, question: str) -> None:
    found = asked_kind(question)
    assert (found.value if found else None) == kind


def test_who_does_it_is_told_with_another_form_of_the_verb() -> None:
    question, asked = "Who keeps the keys?", frozenset({"keep", "kept", "key"})
    assert holds_kind(AnswerKind.PERSON, question, asked, "Keys are kept by the porter.")
    assert not holds_kind(AnswerKind.PERSON, question, asked, "Keys are kept in a box.")


@pytest.mark.parametrize(("question", "answer", "no_answer"), TOLD)
def test_a_text_without_the_kind_is_no_answer(question: str, answer: str, no_answer: str) -> None:
    kind, asked = asked_kind(question), frozenset(analyze(question))
    assert kind is not None
    assert holds_kind(kind, question, asked, answer)
    assert not holds_kind(kind, question, asked, no_answer)


@pytest.mark.parametrize(
    ("question", "relation"),
    [
        ("Who is the managing director of Baltic Foods?", {"manag", "director"}),
        ("What are the opening hours of the museum?", {"open"}),
        ("Where does Helena Brandt live?", {"live"}),
        ("When was the company founded?", {"found"}),
        ("How much vacationing is allowed?", set()),
        ("Where is the company based?", set()),
        ("What is a sundial?", set()),
    ],
)
def test_the_relation_is_a_role_or_the_verb_at_the_end(question: str, relation: set[str]) -> None:
    assert relation_terms(question) == relation


@pytest.mark.parametrize("unit", ["1.", "1,", "1 ", "A ", "in ", "who is the ", "how much do ", "when did, who "])
def test_time_grows_with_the_length_of_question_and_text(unit: str) -> None:
    def seconds(length: int) -> float:
        hostile = (unit * length)[:length]
        started = time.process_time()
        for question in (hostile, f"Who is the {hostile}", f"When was {hostile}"):
            asked_kind(question)
            relation_terms(question)
        for kind in AnswerKind:
            holds_kind(kind, "Who sold it?", frozenset({"sold"}), hostile, hostile)
        return time.process_time() - started

    seconds(1000)  # the caches of stems are filled
    assert seconds(16_000) < 40 * max(seconds(2_000), 0.001)
