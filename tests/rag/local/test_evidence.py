"""Which sentences of the ranked passages become the answer."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.local.evidence import QUOTES, SHORTLIST, Evidence, QuestionTerms, select_quotes, shortlist
from fastapi_ignite.rag.text.analysis import analyze, question_terms
from fastapi_ignite.rag.text.sentences import LONGEST

CHUNKS = 50  # of the project, for the weight of terms


def passage(document: str, chunk: str | None = None, *, number: int = 0, score: float = 0.5) -> Passage:
    """A chunk of a document, which is all of it unless told; the window around it is the whole document."""
    start = document.index(chunk or document)
    return Passage(
        document_id=UUID(int=number),
        char_start=start,
        char_end=start + len(chunk or document),
        window=document,
        window_start=0,
        page_starts=(0,),
        score=score,
    )


def terms_of(question: str, *passages: Passage) -> QuestionTerms:
    """As the project counts them: a term stands in the passages that hold it."""
    held = [set(analyze(each.text)) for each in passages]
    return QuestionTerms({term: sum(term in each for each in held) for term in question_terms(question)}, CHUNKS)


def answer(question: str, *passages: Passage) -> list[Quote]:
    terms = terms_of(question, *passages)
    return select_quotes(shortlist(passages, terms), terms)


PUMP = (
    "The pump moves forty litres of water a minute. Its warranty ends two years after delivery. "
    "Seals are never replaced free of charge. The motor must not run dry for long."
)
LEAVE = "Employees receive 25 days of paid vacation each year. Unused days expire at the end of March."


class TestQuotes:
    @pytest.mark.parametrize(
        ("question", "gold"),
        [
            ("When does the warranty end after delivery?", "Its warranty ends two years after delivery."),
            ("Are seals replaced free of charge?", "Seals are never replaced free of charge."),
            ("How many days of paid vacation?", "Employees receive 25 days of paid vacation each year."),
        ],
    )
    def test_the_sentence_that_says_it_is_quoted_word_for_word(self, question: str, gold: str) -> None:
        quotes = answer(question, passage(PUMP, number=1), passage(LEAVE, number=2))
        assert [quote.text for quote in quotes] == [gold]
        document = PUMP if quotes[0].document_id == UUID(int=1) else LEAVE
        assert document[quotes[0].char_start : quotes[0].char_end] == gold

    @pytest.mark.parametrize("question", ["Who painted the ceiling of the chapel?", "What does a giraffe eat?", "Why?"])
    def test_an_unrelated_question_is_refused(self, question: str) -> None:
        assert answer(question, passage(PUMP, number=1), passage(LEAVE, number=2)) == []

    def test_two_common_words_prove_nothing_when_the_rest_is_unknown(self) -> None:
        assert answer("What expires in March?", passage(LEAVE)) != []
        assert answer("Which zoological giraffe expires in March?", passage(LEAVE)) == []

    def test_there_is_nothing_to_quote_in_nothing(self) -> None:
        assert answer("When does the warranty end?") == []

    def test_quotes_that_say_the_same_are_one(self) -> None:
        copy = passage("According to the sheet, its warranty ends two years after delivery.", number=2)
        quotes = answer("When does the warranty end after delivery?", passage(PUMP, number=1), copy)
        assert len(quotes) == 1

    def test_quotes_that_say_different_things_stay_apart_and_are_few(self) -> None:
        passages = [
            passage(f"The warranty of the {name} ends in {year} whatever happens to its {part}.", number=year)
            for name, year, part in [
                ("pump", 2021, "seal"),
                ("lathe", 2022, "chuck"),
                ("crane", 2023, "hook"),
                ("kiln", 2024, "door"),
                ("press", 2025, "plate"),
            ]
        ]
        quotes = answer("When does the warranty end?", *passages)
        assert len(quotes) == QUOTES
        assert len({quote.document_id for quote in quotes}) == QUOTES

    def test_a_heading_that_repeats_the_question_is_no_answer(self) -> None:
        document = "Warranty of the pump\n\nIt will end two years after the delivery."
        quotes = answer("When does the warranty of the pump end?", passage(document))
        assert [quote.text for quote in quotes] == ["It will end two years after the delivery."]

    def test_a_sentence_that_two_chunks_share_is_quoted_once(self) -> None:
        first, second = PUMP[: PUMP.index("Seals")], PUMP[PUMP.index("Its") :]
        quotes = answer("When does the warranty end after delivery?", passage(PUMP, first), passage(PUMP, second))
        assert [quote.text for quote in quotes] == ["Its warranty ends two years after delivery."]

    def test_a_sentence_that_the_chunk_cuts_is_quoted_whole(self) -> None:
        chunk = PUMP[: PUMP.index("after delivery")]
        quotes = answer("When does the warranty end?", passage(PUMP, chunk))
        assert "Its warranty ends two years after delivery." in quotes[0].text


class TestNeighbours:
    ONE, TWO = "The warranty of the pump ends in May.", "The warranty of the crane ends in June."
    QUESTION = "When does the warranty end?"

    def quotes(self, between: str) -> list[str]:
        found = answer(self.QUESTION, passage(f"{self.ONE}{between}{self.TWO}"))
        return [quote.text for quote in found]

    @pytest.mark.parametrize("between", [" ", "\n", "  \n "])
    def test_sentences_with_nothing_between_them_are_one_quote(self, between: str) -> None:
        assert self.quotes(between) == [f"{self.ONE}{between}{self.TWO}"]

    @pytest.mark.parametrize("between", ["\n\n", " Nothing else was agreed upon by anybody. "])
    def test_a_paragraph_or_a_sentence_between_them_keeps_them_apart(self, between: str) -> None:
        assert sorted(self.quotes(between)) == [self.TWO, self.ONE]

    def test_a_third_one_closes_the_gap(self) -> None:
        three = "The warranty of the lathe ends in July."
        found = answer(self.QUESTION, passage(f"{self.ONE} {three} {self.TWO}"))
        assert [quote.text for quote in found] == [f"{self.ONE} {three} {self.TWO}"]

    def test_a_quote_does_not_grow_without_end(self) -> None:
        long = [f"The warranty of the {name} ends in {name * 60}." for name in ("pumpa", "crane")]
        found = answer(self.QUESTION, passage(" ".join(long)))
        assert sorted(quote.text for quote in found) == sorted(long)
        assert sum(map(len, long)) > LONGEST


class TestSimilarity:
    def evidence(self, question: str, similarity: float) -> tuple[list[Evidence], QuestionTerms]:
        source = passage(PUMP)
        terms = terms_of(question, source)
        return [replace(each, similarity=similarity) for each in shortlist([source], terms)], terms

    def test_a_paraphrase_is_trusted_when_its_meaning_is_near(self) -> None:
        assert select_quotes(*self.evidence("What guarantee do we give?", 0.75)) != []
        assert select_quotes(*self.evidence("What guarantee do we give?", 0.45)) == []

    def test_words_in_common_do_not_help_when_the_meaning_is_far(self) -> None:
        assert select_quotes(*self.evidence("Which warranty has the oven of the bakery?", 0.05)) == []


def test_the_shortlist_is_short_and_has_no_sentence_twice() -> None:
    document = " ".join(f"The warranty number {number} ends in {2000 + number}." for number in range(40))
    passages = [passage(document, score=1.0), passage(document, score=0.5)]
    found = shortlist(passages, terms_of("When does the warranty end?", *passages))
    assert len(found) == SHORTLIST
    assert len({(each.char_start, each.char_end) for each in found}) == SHORTLIST
