from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.text.chunking import TextChunk, chunk_text

LONGEST = 900
words = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
texts = st.lists(st.tuples(words, st.sampled_from(["", " ", "\n", "\n\n", ". ", "  \t\n"]), st.integers(1, 60))).map(
    lambda parts: "".join((word + end) * times for word, end, times in parts)
)


def assert_sound(text: str, chunks: list[TextChunk]) -> None:
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    covered_to = 0
    last_start = -1
    for chunk in chunks:
        assert chunk.text == text[chunk.char_start : chunk.char_end]
        assert chunk.text.strip()
        assert len(chunk.text) <= LONGEST
        assert chunk.char_start > last_start
        assert not text[covered_to : chunk.char_start].strip()
        covered_to = max(covered_to, chunk.char_end)
        last_start = chunk.char_start
    assert not text[covered_to:].strip()


@given(texts)
def test_chunks_are_slices_that_cover_the_text_in_order(text: str) -> None:
    assert_sound(text, chunk_text(text, None))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "\x1f",
        "one word",
        "я" * 100_000,
        "日本語の文章。" * 20_000,
        "🦆 e\u0301 👩‍👩‍👧‍👦 " * 8_000,
        "1 234.5\t67\n" * 20_000,
        "\n" * 100_000 + "x",
    ],
    ids=["empty", "blank", "separator", "word", "unbroken", "no blanks", "graphemes", "numbers", "newlines"],
)
def test_unusual_texts(text: str) -> None:
    assert_sound(text, chunk_text(text, None))


def test_neighbours_share_a_sentence() -> None:
    text = " ".join(f"Sentence number {number} says little." for number in range(200))
    chunks = chunk_text(text, None)
    assert all(a.char_end > b.char_start for a, b in pairwise(chunks))


def test_a_chunk_has_the_page_of_its_first_character() -> None:
    pages = [f"Seite {number}: größer als zuvor. " * 20 for number in range(1, 8)]
    starts = tuple(sum(map(len, pages[:number])) for number in range(7))
    chunks = chunk_text("".join(pages), starts)
    assert {chunk.page for chunk in chunks} == set(range(1, 8))
    for chunk in chunks:
        assert chunk.page is not None
        assert starts[chunk.page - 1] <= chunk.char_start
    assert chunk_text("text", None)[0].page is None


@pytest.mark.parametrize("unit", ["Он сказал: «жизнь прекрасна». И ушёл.\n", "я", "日本語。", "word "])
def test_a_book_does_not_run_into_the_time_limit_of_tests(unit: str) -> None:
    text = unit * (3_200_000 // len(unit))
    chunks = chunk_text(text, None)
    assert chunks[-1].char_end >= len(text) - 1
