"""Pieces of a text that can be quoted."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_ignite.rag.text.sentences import LONGEST, split_sentences

words = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30),
    st.sampled_from(["U.S.", "Mr.", "# ", "| a | b |", "- ", "1.", "(a)", "。", "!", "?", '."', "\u2026", "Yes."]),
)
texts = st.lists(st.tuples(words, st.sampled_from(["", " ", "\n", "\n\n", ". ", "\t"]), st.integers(1, 40))).map(
    lambda parts: "".join((word + end) * times for word, end, times in parts)
)


def split(text: str) -> list[str]:
    return [text[sentence.start : sentence.end] for sentence in split_sentences(text)]


@given(texts)
@example("x" * 1200)
@example("A" + "." * 600 + " B")
def test_sentences_are_slices_in_order_that_do_not_overlap(text: str) -> None:
    end = 0
    for sentence in split_sentences(text):
        piece = text[sentence.start : sentence.end]
        assert end <= sentence.start
        assert len(piece) <= LONGEST
        assert piece == piece.strip()
        assert any(letter.isalnum() for letter in piece)
        end = sentence.end


@given(st.lists(st.sampled_from(["The pump runs.", "Is it warm?", "Stop it now!", "He said “go on now.”"]), min_size=1))
def test_plain_sentences_are_found_whole(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith met Dr. Jones at Acme Inc. Tuesday morning.",
        "The U.S. Government owns it.",
        "J. R. R. Tolkien wrote about it.",
        "It grew by 3.5 percent in version 1.2.3 of the plan.",
        "See Fig. 3 and Sec. 2 of the report.",
        "They asked “why?” and left the room.",
        "It works, e.g. on Monday, i.e. always.",
    ],
)
def test_a_point_that_ends_no_sentence(text: str) -> None:
    assert split(text) == [text]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The first one ends here. The second one follows.", ["The first one ends here.", "The second one follows."]),
        ("“Is it open?” He did not know.", ["“Is it open?”", "He did not know."]),
        (
            "ポンプの保証期間は二年です。修理はその後から有料です。",
            ["ポンプの保証期間は二年です。", "修理はその後から有料です。"],
        ),
        ("यह पहला वाक्य है। यह दूसरा वाक्य है।", ["यह पहला वाक्य है।", "यह दूसरा वाक्य है।"]),
        ("Ponad połowa. Żaden nie wrócił do domu.", ["Ponad połowa.", "Żaden nie wrócił do domu."]),
        ("Do you agree? Yes. We go on from here.", ["Do you agree? Yes.", "We go on from here."]),
    ],
)
def test_ends_of_sentences(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


def test_lines_broken_by_the_page_read_on_and_short_ones_stand_alone() -> None:
    text = (
        "The warranty of the pump begins on the day on which it was\n"
        "delivered and ends after two years. It does not cover wear.\n"
        "\n"
        "Contact us\n"
        "By telephone 030 1234567\n"
    )
    assert split(text) == [
        "The warranty of the pump begins on the day on which it was\ndelivered and ends after two years.",
        "It does not cover wear.",
        "Contact us",
        "By telephone 030 1234567",
    ]


def test_items_rows_and_headings() -> None:
    text = (
        "# Employee handbook\n"
        "- Holidays are thirty days a year\n"
        "- Sick notes are due on the third day\n"
        "2) Overtime is paid in the next month\n"
        "| Plan | Price of the plan |\n"
        "|------|------|\n"
        "| Basic | 10 euros |\n"
    )
    assert split(text) == [
        "# Employee handbook",
        "- Holidays are thirty days a year",
        "- Sick notes are due on the third day",
        "2) Overtime is paid in the next month",
        "| Plan | Price of the plan |",
        "| Basic | 10 euros |",
    ]


def test_an_endless_sentence_is_cut_where_a_reader_would_pause() -> None:
    text = "The list has " + ", ".join(f"item number {number}" for number in range(80)) + "."
    pieces = split(text)
    assert len(pieces) > 2
    assert all(piece.endswith((",", ".")) for piece in pieces)
    assert " ".join(pieces) == text
