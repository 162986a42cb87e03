"""Which parts of the sources support what a model says."""

from __future__ import annotations

from uuid import UUID

import pytest

from fastapi_ignite.rag.answers.alignment import Statement, align
from fastapi_ignite.rag.answers.passage import Passage, Quote

SOURCE = (
    "The warranty of the pump ends 24 months after delivery. Seals are never covered by the warranty. "
    "The pump must not run dry for more than ten seconds."
)


def aligned(said: str, *, source: str | None = "a", text: str = SOURCE) -> list[Quote]:
    passage = Passage(UUID(int=1), 0, len(text), text, 0, None, 1.0)
    return align([Statement(said, source)], [("a", passage)], trust_named_source=True)


@pytest.mark.parametrize("source", ["a", None])
def test_a_statement_in_nearly_the_same_words_is_cited(source: str | None) -> None:
    (quote,) = aligned("The pump's warranty ends twenty-four months after delivery.", source=source)
    assert (quote.text, quote.support) == ("The warranty of the pump ends 24 months after delivery.", "aligned")


@pytest.mark.parametrize(
    "said",
    [
        "The warranty of the pump ends 36 months after delivery.",
        "Seals are covered by the warranty.",
        "The pump never needs a warranty card from the dealer in town.",
        "The warranty covers damage to the pump from running dry.",
    ],
    ids=["another number", "the opposite", "shared words", "shared words of another sentence"],
)
def test_a_sentence_that_merely_shares_words_is_not_cited(said: str) -> None:
    assert aligned(said) == []


def test_a_statement_in_another_language_is_cited_from_the_source_it_names() -> None:
    (quote,) = aligned("Die Garantie endet 24 Monate nach der Lieferung.")
    assert (quote.text, quote.support) == ("The warranty of the pump ends 24 months after delivery.", "retrieved")
    assert aligned("Die Garantie endet 24 Monate nach der Lieferung.", source=None) == []


def test_a_number_that_the_source_lacks_is_not_cited_in_any_language() -> None:
    assert aligned("Die Garantie endet 36 Monate nach der Lieferung.") == []
