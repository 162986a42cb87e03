"""Which sentences of the ranked passages become the answer."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.extraction import Span, SpanKind
from fastapi_ignite.rag.local.evidence import QUOTES, SHORTLIST, Evidence, QuestionTerms, select_quotes, shortlist
from fastapi_ignite.rag.text.analysis import analyze, question_terms
from fastapi_ignite.rag.text.outline import Outline
from fastapi_ignite.rag.text.sentences import LONGEST

CHUNKS = 50  # the number of the project's chunks, which the weight of a term depends on


def passage(document: str, chunk: str | None = None, *, number: int = 0, score: float = 0.5) -> Passage:
    """Return the passage of a chunk, by default of the whole document; its window is the whole document."""
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
    """Return the question's terms with the number of passages that contain each, as the project counts them."""
    held = [set(analyze(each.text)) for each in passages]
    counts = {term: sum(term in each for each in held) for term in question_terms(question)}
    return QuestionTerms(counts, CHUNKS, question)


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

    def test_a_sentence_that_speaks_of_the_one_before_it_is_quoted_with_it(self) -> None:
        document = "Grippers and suction cups are wear parts. They are not included in the fee."
        (quote,) = answer("Which parts are not included in the fee?", passage(document))
        assert quote.text == document
        (quote,) = answer("Which parts are not included in the fee?", passage(document.replace(". They", ".\n\nThey")))
        assert quote.text == "They are not included in the fee."

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
        long = [f"The warranty of the {name} ends in May, {name * 60}." for name in ("pumpa", "crane")]
        found = answer(self.QUESTION, passage(" ".join(long)))
        assert sorted(quote.text for quote in found) == sorted(long)
        assert sum(map(len, long)) > LONGEST


class TestSimilarity:
    def evidence(self, question: str, similarity: float) -> tuple[list[Evidence], QuestionTerms]:
        source = passage(PUMP)
        terms = terms_of(question, source)
        return [replace(each, similarity=similarity) for each in shortlist([source], terms)], terms

    def test_a_paraphrase_is_trusted_when_its_meaning_is_near(self) -> None:
        assert select_quotes(*self.evidence("What protection do we give?", 0.75)) != []
        assert select_quotes(*self.evidence("What protection do we give?", 0.45)) == []

    def test_words_in_common_do_not_help_when_the_meaning_is_far(self) -> None:
        assert select_quotes(*self.evidence("Which warranty has the oven of the bakery?", 0.05)) == []


def test_the_shortlist_is_short_and_has_no_sentence_twice() -> None:
    document = " ".join(f"The warranty number {number} ends in {2000 + number}." for number in range(40))
    passages = [passage(document, score=1.0), passage(document, score=0.5)]
    found = shortlist(passages, terms_of("When does the warranty end?", *passages))
    assert len(found) == SHORTLIST
    assert len({(each.piece.start, each.piece.end) for each in found}) == SHORTLIST


def table(*rows: str, number: int = 0) -> Passage:
    """Return a passage that is a table of tab-separated cells; its first row names the columns."""
    text = "\n".join(rows)
    span = Span(SpanKind.TABLE, 0, len(text), 1, "\t")
    return replace(passage(text, number=number), surroundings=Outline(text, [span]).surroundings(0, len(text)))


def document(text: str, *headings: str) -> Passage:
    """Return a passage that is a whole document; the first of these headings has level 1, the others level 2."""
    spans = [
        Span(SpanKind.HEADING, text.index(heading), text.index(heading) + len(heading), 1 if not level else 2)
        for level, heading in enumerate(headings)
    ]
    return replace(passage(text), surroundings=Outline(text, spans).surroundings(0, len(text)))


PLANS = table("Plan\tPrice\tSSO", "Solo\t9 euros\tno", "Team\t49 euros\tyes", "Firm\t90 euros\tyes")


class TestRows:
    def test_a_row_is_said_with_the_names_of_its_columns_and_cited_as_it_stands(self) -> None:
        (quote,) = answer("What is the price of the Team plan?", PLANS)
        assert (quote.said, quote.text) == ("Plan: Team; Price: 49 euros; SSO: yes", "Team\t49 euros\tyes")

    def test_rows_are_quoted_one_by_one(self) -> None:
        quotes = answer("What is the price of Team and of Firm?", PLANS)
        assert sorted(quote.text for quote in quotes) == ["Firm\t90 euros\tyes", "Team\t49 euros\tyes"]

    def test_a_code_names_its_row(self) -> None:
        orders = table("order\tcarrier", "A-101\tSea Wind", "A-102\tRoad King", "A-103\tSky Bridge")
        (quote,) = answer("Which carrier takes order A-103?", orders)
        assert quote.text == "A-103\tSky Bridge"

    def test_the_row_of_another_is_no_answer(self) -> None:
        assert answer("What is the price of the Gold plan?", PLANS) == []

    def test_a_row_that_says_no_answers_who_is_without_and_not_who_has(self) -> None:
        assert [quote.text for quote in answer("Which plans do not include SSO?", PLANS)] == ["Solo\t9 euros\tno"]
        assert "Solo" not in "".join(quote.text for quote in answer("Which plans include SSO?", PLANS))

    def test_rows_that_hold_less_of_the_question_are_about_something_else(self) -> None:
        rooms = table("Room\tLow season\tHigh season", "Single\t80\t120", "Double\t110\t170", "Suite\t240\t390")
        (quote,) = answer("How much is a double room in the high season?", rooms)
        assert quote.text == "Double\t110\t170"

    def test_of_a_wide_row_the_asked_cells_are_said(self) -> None:
        names = "\t".join(["Part", *(f"Remark number {number}" for number in range(30)), "Weight"])
        (quote,) = answer(
            "What is the weight of the gasket?", table(names, "\t".join(["Gasket", *["fine"] * 30, "7 kg"]))
        )
        assert quote.said == "Part: Gasket; Weight: 7 kg"


class TestKinds:
    """These tests check that text of another kind beside the asked fact is no answer."""

    VISIT = (
        "The church clock was restored by Lucia Frei in 2015. The car park is five minutes away on foot. "
        "The workshop for children begins at 14:00. The insurance of the boats was paid in April. "
        "Helena Brandt signed the agreement in Freiburg."
    )

    @pytest.mark.parametrize(
        ("question", "gold"),
        [
            ("Who restored the church clock?", "Lucia Frei"),
            ("When does the workshop for children begin?", "14:00"),
            ("Where did Helena Brandt sign the agreement?", "Freiburg"),
            ("How much does the car park cost?", None),
            ("How much does the insurance of the boats cost?", None),
            ("Who leads the workshop for children?", None),
            ("How tall is the church clock?", None),
            ("How many children are in the workshop?", None),
        ],
    )
    def test_an_answer_is_of_the_kind_that_is_asked_for(self, question: str, gold: str | None) -> None:
        found = "".join(quote.text for quote in answer(question, passage(self.VISIT)))
        assert gold in found if gold else found == ""

    def test_a_code_is_one_thing(self) -> None:
        parts = table("Part\tPrice\tDelivery", "NR-2210\t34 euros\t3 days", "NR-1042\t86 euros\t2 days")
        assert [quote.text for quote in answer("What does the NR-1042 cost?", parts)] == ["NR-1042\t86 euros\t2 days"]
        assert answer("What does the NR-3 cost?", parts) == []

    def test_the_forms_of_a_verb_are_one(self) -> None:
        led, closed = "The canteen is led by Ewa Lis.", "The canteen is closed by Ewa Lis."
        terms = terms_of("Who leads the canteen?", passage(led))
        assert terms.coverage(frozenset(analyze(led))) > terms.coverage(frozenset(analyze(closed)))


class TestHeadings:
    def test_the_question_of_a_list_of_questions_is_answered_by_what_stands_below_it(self) -> None:
        ask, other = "How do I cancel my course?", "Who repairs a torn sail?"
        text = f"Help\n\n{ask}\n\nWrite to the desk five days ahead.\n\n{other}\n\nBring it on Wednesdays."
        for found in (document(text, "Help", ask, other), passage(text)):
            assert [quote.text for quote in answer(ask, found)] == ["Write to the desk five days ahead."]

    def test_a_question_without_an_answer_is_none(self) -> None:
        assert answer("Where is the boat house?", passage("Where is the boat house?\n\nWho has its key?")) == []

    def test_what_stands_below_the_question_may_be_of_any_kind(self) -> None:
        desk = "How do I cancel?\n\nWrite to the desk.\n\nWho repairs a torn parachute?\n\nBring it to the workshop."
        quotes = answer("Who repairs a torn parachute?", passage(desk))
        assert [quote.text for quote in quotes] == ["Bring it to the workshop."]

    def test_a_title_is_no_answer_and_what_stands_below_it_is(self) -> None:
        text = "Report of 14 March 2026\n\nWhat happened\n\nThe line in hall two stopped. Nobody saw it."
        quotes = answer("What happened on 14 March 2026?", document(text, "Report of 14 March 2026", "What happened"))
        assert [quote.text for quote in quotes] == ["The line in hall two stopped. Nobody saw it."]

    def test_what_stands_below_the_heading_of_another_day_is_left_out(self) -> None:
        first, second = "Meeting of 4 May 2026", "Meeting of 8 June 2026"
        text = f"Minutes\n\n{first}\n\nPresent: Ada, Bo.\n\n{second}\n\nPresent: Ada, Dora."
        minutes = document(text, "Minutes", first, second)
        terms = terms_of("Who was present on 8 June 2026?", minutes)
        evidence = [replace(each, similarity=0.6) for each in shortlist([minutes], terms)]
        assert [quote.text for quote in select_quotes(evidence, terms)] == ["Present: Ada, Dora."]

    def test_the_title_of_a_plain_paragraph_is_no_evidence(self) -> None:
        contract = passage("§ 1 Subject\n\nThe flat is let.\n\n§ 2 Rent\n\nThe rent is 900 euros.")
        found = shortlist([contract], terms_of("What does § 2 say of the rent of the flat?", contract))
        assert {each.piece.text for each in found} == {"The flat is let.", "The rent is 900 euros."}

    def test_a_description_is_an_answer_about_its_term(self) -> None:
        text = "Ballast\nWeight that keeps the boat upright.\nBoom\nThe spar at the foot of the sail."
        spans = [
            Span(SpanKind.LIST_ITEM, 0, text.index("\nBoom")),
            Span(SpanKind.LIST_ITEM, text.index("Boom"), len(text)),
        ]
        glossary = replace(passage(text), surroundings=Outline(text, spans).surroundings(0, len(text)))
        quotes = answer("What is ballast?", glossary)
        assert [quote.text for quote in quotes] == ["Weight that keeps the boat upright."]

    def test_a_heading_that_holds_the_fact_is_quoted(self) -> None:
        heading = "Office hours are from nine to five."
        assert [quote.text for quote in answer("When are the office hours?", document(heading, heading))] == [heading]

    def test_a_list_is_quoted_with_the_line_that_it_belongs_to(self) -> None:
        text = "The fee includes:\n- two visits;\n- all spare parts."
        quotes = answer("What does the fee include?", passage(text))
        assert all("two visits" in quote.text or "spare parts" in quote.text for quote in quotes)
        assert quotes


class TestNegation:
    WITH, WITHOUT = "The Plus plan includes single sign-on.", "The Free plan does not include single sign-on."

    @pytest.mark.parametrize(
        ("question", "text", "answered"),
        [
            ("Which plans do not include single sign-on?", WITH, False),
            ("Which plans do not include single sign-on?", WITHOUT, True),
            ("Which plans include single sign-on?", WITHOUT, False),
            ("Which plans include single sign-on?", WITH, True),
            ("Does the Free plan include single sign-on?", WITHOUT, True),
        ],
    )
    def test_a_question_is_not_answered_with_the_opposite(self, question: str, text: str, *, answered: bool) -> None:
        assert bool(answer(question, passage(text))) is answered

    def test_a_denial_without_a_point_is_a_statement(self) -> None:
        text = "- No travel in August"
        assert [quote.text for quote in answer("Is there travel in August?", passage(text))] == [
            "- No travel in August"
        ]

    def test_the_name_of_a_row_denies_nothing(self) -> None:
        codes = table("Code\tCountry", "IT\tItaly", "NO\tNorway")
        assert [quote.text for quote in answer("Which country has the code NO?", codes)] == ["NO\tNorway"]

    def test_an_exception_answers_for_both_sides(self) -> None:
        text = "Tickets are refunded except for group tickets."
        for question in ("Which tickets are not refunded?", "Which tickets are refunded?"):
            assert [quote.text for quote in answer(question, passage(text))] == [text]


class TestHonesty:
    @pytest.mark.parametrize(
        ("question", "text"),
        [
            ("When does hall 5 open?", "In November hall 4 opens."),
            ("How much does plan B cost?", "You pay 40 euros for the cost of plan A."),
            ("How much does the Premium plan cost?", "The cost of the Basic plan is 9 euros."),
        ],
    )
    def test_what_is_said_of_another_thing_of_the_kind_is_no_answer(self, question: str, text: str) -> None:
        assert answer(question, passage(text)) == []
        asked = next(name for name in ("hall 5", "plan B", "Premium plan") if name in question)
        told = next(name for name in ("hall 4", "plan A", "Basic plan") if name in text)
        assert answer(question, passage(text.replace(told, asked))) != []

    def test_a_count_is_not_answered_without_one(self) -> None:
        assert answer("How many pumps does the mill have?", passage("The mill has pumps in the cellar.")) == []

    def test_what_is_said_of_another_month_is_left_out(self) -> None:
        months = [
            passage(f"Budget for {month}: 4{number}00 crowns.", number=number)
            for number, month in enumerate(("May", "June"))
        ]
        assert [quote.text for quote in answer("What is the budget for May?", *months)] == [
            "Budget for May: 4000 crowns."
        ]

    def test_two_parts_of_a_question_are_answered_from_two_places(self) -> None:
        places = [passage(PUMP, number=1), passage(LEAVE, number=2)]
        quotes = answer(
            "Are seals replaced free of charge, and how many days of paid vacation do employees get?", *places
        )
        assert {quote.document_id for quote in quotes} == {UUID(int=1), UUID(int=2)}

    def test_two_sources_that_differ_in_a_number_are_both_quoted(self) -> None:
        places = [passage(f"Every employee gets {days} days of paid leave a year.", number=days) for days in (28, 30)]
        assert len(answer("How many days of paid leave does an employee get?", *places)) == 2
