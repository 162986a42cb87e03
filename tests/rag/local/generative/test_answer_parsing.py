"""The many forms in which models write an answer with quotes."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.local.generative.answer_parsing import AnswerReader
from fastapi_ignite.rag.local.generative.quote_matching import Source

FIRST = "The \u201cAldara\u201d light\u2014built in 1874\u2014stands on a cliff.\nIts keeper   lives in the *old* café."
SECOND = "Fog closes the harbour [3] on forty days a year. Ships wait outside."
DOCUMENT = f"Preface.\n\n{FIRST}\n\n{SECOND}\n"


def passage(text: str) -> Passage:
    start = DOCUMENT.index(text)
    return Passage(uuid4(), start, start + len(text), DOCUMENT, 0, None, 0.5)


PASSAGES = [passage(FIRST), passage(SECOND)]


def parsed(said: str) -> tuple[str | None, list[str], str | None]:
    """Return the answer, its quotes and their support, and check that every quote stands at its position."""
    draft = AnswerReader(PASSAGES).read(said, truncated=False)
    for quote in draft.quotes:
        assert DOCUMENT[quote.char_start : quote.char_end] == quote.text
    supports = {quote.support for quote in draft.quotes}
    return draft.text, [quote.text for quote in draft.quotes], supports.pop() if supports else None


CLOSED = "Fog closes the harbour"


@pytest.mark.parametrize(
    "mark",
    [
        '[2: "Fog closes the harbour"]',
        '[2 : "Fog closes the harbour" ]',
        "[2: \u201cFog closes the harbour\u201d]",
        "[2: 'Fog closes the harbour']",
        '[2, "Fog closes the harbour"]',
        '[2 "Fog closes the harbour"]',
        '[2]: "Fog closes the harbour"',
        '[2] ("Fog closes the harbour")',
        '[2 - "Fog closes the harbour"]',
        "[2: Fog closes the harbour]",
        '[Passage 2: "Fog closes the harbour"]',
        '[source #2: "fog closes  the\nHARBOUR."]',
        '\u30102: "Fog closes the harbour"\u3011',
        '\n[2: "Fog closes the harbour"]',
        '[1: "Fog closes the harbour"]',
        '[9: "Fog closes the harbour"]',
        '[2: "**Fog** closes the harbour\u2026"]',
        '[2: "Fog closes the harbour"][1: "The light is red"]',
    ],
)
def test_a_mark_is_understood_however_it_is_written(mark: str) -> None:
    assert parsed(f"Fog closes it{mark}.") == ("Fog closes it.", [CLOSED], "quoted")


@pytest.mark.parametrize(
    ("words", "quote"),
    [
        ('the "Aldara" light-built in 1874', "The \u201cAldara\u201d light\u2014built in 1874"),
        ("ITS KEEPER LIVES IN THE OLD CAFE\u0301", "Its keeper   lives in the *old* café"),
        ("stands on a cliff. Its keeper", "stands on a cliff.\nIts keeper"),
        ("forty", "Fog closes the harbour [3] on forty days a year."),
        ("the harbour [3] on forty days", "the harbour [3] on forty days"),
    ],
)
def test_a_quote_is_found_where_it_stands_in_the_stored_text(words: str, quote: str) -> None:
    assert parsed(f'So it is [1: "{words}"].') == ("So it is.", [quote], "quoted")


@pytest.mark.parametrize("words", ["the", "is", "...", "Fog opens the harbour", "Preface."])
def test_what_proves_nothing_is_no_quote(words: str) -> None:
    text, quotes, _ = parsed(f'So it is [1: "{words}"], and {CLOSED.lower()} [2: "{CLOSED}"].')
    assert (text, quotes) == ("So it is, and fog closes the harbour.", [CLOSED])


@pytest.mark.parametrize("gap", [" ... ", " [...] ", " \u2026 ", '", "', "'; '", '" and "'])
def test_words_with_a_gap_are_several_quotes(gap: str) -> None:
    pieces = ["Fog closes the harbour", "on forty days"]
    assert parsed(f'So it is [2: "{gap.join(pieces)}"].') == ("So it is.", pieces, "quoted")
    assert parsed(f'So it is [2: "{pieces[0]}{gap}in most years"].') == ("So it is.", pieces[:1], "quoted")


def test_a_quote_within_another_is_one() -> None:
    assert parsed(f'Fog [2: "closes the harbour"]. Yes [2: "{CLOSED}"].') == ("Fog. Yes.", [CLOSED], "quoted")


def test_quotes_alone_are_the_answer() -> None:
    assert parsed(f'[2: "{CLOSED}"]') == (None, [CLOSED], "quoted")


def test_second_thoughts_do_not_take_back_a_true_quote() -> None:
    assert parsed(f'Fog [2: "{CLOSED}"].\n\nNO_ANSWER') == ("Fog.", [CLOSED], "quoted")


@pytest.mark.parametrize(
    "said",
    [
        *("", " \n", "NO_ANSWER.", "**No answer**", "[2]"),
        "NO_ANSWER: Fog closes the harbour on forty days a year.",
        f'no-answer [2: "{CLOSED}"]',
        "Fog closes the harbour on forty days a year. NO_ANSWER",
    ],
)
def test_a_refusal_has_no_quotes(said: str) -> None:
    assert parsed(said)[1] == []


@pytest.mark.parametrize("cut", ["[2", "[2: ", '[2: "Fog clo', "[2: Fog"])
def test_a_mark_that_was_cut_is_taken_off(cut: str) -> None:
    text, quotes, support = parsed(f"Fog closes the harbour on forty days a year {cut}")
    assert text == "Fog closes the harbour on forty days a year"
    assert (quotes, support) == (["Fog closes the harbour [3] on forty days a year."], "aligned")


def test_a_mark_that_was_not_closed_ends_before_the_next() -> None:
    text, quotes, _ = parsed(f'The light stands [1: "stands on a cliff. Fog closes it [2: "{CLOSED}"].')
    assert quotes == [CLOSED]
    assert text is not None
    assert text.endswith("Fog closes it.")


@given(st.text(st.sampled_from('[]12:,"\u201c fog\n*'), max_size=60))
def test_whatever_is_said_a_quote_is_verbatim(said: str) -> None:
    parsed(said)


PIECES = st.sampled_from(
    [
        *(
            "Fog",
            "closes the harbour",
            " ",
            "\n",
            ".",
            ":",
            "(",
            ")",
            '"',
            "\u201c",
            "'",
            ", ",
            "**",
            "NO_ANSWER",
            "No answer",
        ),
        *("[", "]", "\u3010", "[1", "[2: ", "[2]", "[1, 2]", "[see 2]", "[3 ships]", "[passage 2", "[2]: ", '[2] ("'),
        *(f'[2: "{CLOSED}"]', f"[2: {CLOSED}]", f'[2]: "{CLOSED}"', f"[1: '{CLOSED}", "[2: \u201cFog clo", "x" * 1300),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.data())
def test_what_is_told_while_it_is_said_is_how_it_begins(said: str, data: st.DataObject) -> None:
    reader = AnswerReader(PASSAGES)
    whole = reader.read(said, truncated=False)
    beginning = AnswerReader(PASSAGES).read_beginning(said[: data.draw(st.integers(0, len(said)))])
    assert not beginning.quotes or (whole.text or "").startswith(beginning.text or "")
    assert all(any(within(quote, other) for other in whole.quotes) for quote in beginning.quotes)


def within(one: Quote, other: Quote) -> bool:
    return (
        one.document_id == other.document_id and other.char_start <= one.char_start and one.char_end <= other.char_end
    )


@pytest.mark.parametrize(
    ("said", "told_by_then"),
    [
        (f'Fog closes it [2: "{CLOSED}"]', "Fog closes it"),
        (f'Fog closes it [2: "{CLOSED}"]. And the light [1: "stan', "Fog closes it"),
        (f'Fog does so [see below] [3 days] [2: "{CLOSED}"]', "Fog does so [see below] [3 days]"),
        (
            f'It is long. It shines [1: "stands on a cliff"] and fog [2: "{CLOSED}"]. It',
            "It is long. It shines and fog",
        ),
        (f'Fog closes it [2: "{CLOSED}"]. It is blue [2: "blue as the sea"].', "Fog closes it"),
        (f"Fog closes it [2]: \u201c{CLOSED}", None),
        ("Fog closes the harbour on forty days a year [2] and ", None),
    ],
)
def test_it_is_told_as_far_as_it_is_borne_out(said: str, told_by_then: str | None) -> None:
    beginning = AnswerReader(PASSAGES).read_beginning(said)
    assert beginning.text == told_by_then
    assert (CLOSED in [quote.text for quote in beginning.quotes]) == (told_by_then is not None)


@given(st.text(max_size=80), st.data())
def test_what_was_copied_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    words = text[start : data.draw(st.integers(start, len(text)))]
    found = Source(Passage(uuid4(), 0, len(text), text, 0, None, 0.5)).find(words)
    assert found is None or text[found.char_start : found.char_end] == found.text
    if len(words) >= 10:
        assert found is not None
        assert found.text == words


@pytest.mark.parametrize("piece", [" ", "[", "[1", '[1: "', "[1: ", "\n", "[1, ", "[ ", '"]', '[1]: "'])
def test_a_model_that_repeats_itself_is_read_to_the_end(piece: str) -> None:
    """A regular expression that backtracks would take hours."""
    assert parsed(piece * (30_000 // len(piece)))[1] == []
