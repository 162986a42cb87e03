from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import SpanKind
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.text.chunking import TextChunk, chunk_text
from fastapi_ignite.rag.text.outline import MOST_SPANS
from fastapi_ignite.rag.text.surroundings import LONGEST_CONTEXT, context_text
from fastapi_ignite.rag.text.tables import table_rows

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


class TestStructure:
    """Passages follow the headings, tables, items and code of a document."""

    @staticmethod
    def build(blocks: list[tuple[str, str, int]]) -> TextBuilder:
        builder = TextBuilder()
        for kind, word, times in blocks:
            match kind:
                case "heading":
                    builder.heading(word * min(times, 20), 1 + times % 3)
                case "table":
                    rows = [[f"{word}{number}", str(number), ""] for number in range(times)]
                    builder.table(rows, header_rows=times % 3)
                case "item":
                    builder.list_item(f"- {word} " * times)
                case "code":
                    builder.code(f"{word} = 1\n" * times)
                case _:
                    builder.paragraph(f"The {word} is here. " * times)
        return builder

    blocks = st.lists(
        st.tuples(
            st.sampled_from(["heading", "table", "item", "code", "prose"]),
            st.sampled_from(["pump", "日本語", "x" * 70, "a b"]),
            st.integers(1, 90),
        ),
        max_size=12,
    )

    @given(blocks)
    def test_passages_cover_the_text_in_order(self, blocks: list[tuple[str, str, int]]) -> None:
        builder = self.build(blocks)
        assert_sound(builder.text, chunk_text(builder.text, None, builder.spans))

    @given(blocks)
    def test_no_row_that_fits_is_cut(self, blocks: list[tuple[str, str, int]]) -> None:
        builder = self.build(blocks)
        chunks = chunk_text(builder.text, None, builder.spans)
        for table in (span for span in builder.spans if span.kind is SpanKind.TABLE):
            for row in table_rows(builder.text, table):
                touching = [chunk for chunk in chunks if chunk.char_start < row.end and chunk.char_end > row.start]
                assert all(chunk.char_start <= row.start and chunk.char_end >= row.end for chunk in touching)

    def test_a_passage_of_a_table_knows_its_header_and_headings(self) -> None:
        builder = TextBuilder()
        builder.heading("Catalogue", 1)
        builder.heading("Prices", 2)
        rows = [["Plan", "Price"], *([f"Plan {number}", f"{number} euros"] for number in range(2_000))]
        builder.table(rows, header_rows=1)
        builder.heading("Contact", 2)
        builder.paragraph("Write to us. " * 60)
        first, *rest = chunk_text(builder.text, None, builder.spans)
        assert first.text.startswith("Catalogue\n\nPrices\n\nPlan\tPrice\nPlan 0")
        assert first.context == ""
        assert len(rest) > 30
        assert {chunk.context for chunk in rest[:-1]} == {"Catalogue > Prices\nPlan | Price"}
        last = rest[-2]
        assert last.surroundings.column_names(last.char_start) == ("Plan", "Price")
        assert rest[-1].text.startswith("Contact\n\nWrite to us.")
        assert rest[-1].context == "Catalogue"

    def test_a_heading_stands_with_what_it_heads(self) -> None:
        builder = TextBuilder()
        for number in range(60):
            builder.heading(f"Section {number}", 2)
            builder.paragraph("A sentence of some length says what the section is about. " * (1 + number % 31))
        for chunk in chunk_text(builder.text, None, builder.spans):
            assert "Section" not in chunk.text.rstrip().rpartition("\n")[2]

    def test_a_row_that_is_too_long_is_cut_between_its_cells(self) -> None:
        builder = TextBuilder()
        builder.table([["Name", "Note"], ["Ada", *(f"cell {number} " * 9 for number in range(60))]], header_rows=1)
        first, *rest = chunk_text(builder.text, None, builder.spans)
        assert first.text.startswith("Name\tNote\nAda\tcell 0")
        assert len(rest) >= 4
        assert all(chunk.text.startswith("cell") for chunk in rest)
        assert {chunk.context for chunk in rest} == {"Name | Note"}

    def test_items_and_code_are_whole_where_they_fit(self) -> None:
        builder = TextBuilder()
        builder.list_item("- " + "first of all " * 40)
        builder.list_item("- " + "then " * 100)
        builder.code("def run():\n" + "    step()\n\n" * 50)
        texts = [chunk.text for chunk in chunk_text(builder.text, None, builder.spans)]
        assert [text[:10] for text in texts] == ["- first of", "- then the", "def run():"]

    def test_a_list_of_thousands_of_items_keeps_little_beside_a_passage(self) -> None:
        builder = TextBuilder()
        for number in range(5_000):
            builder.list_item(str(number % 7))
        chunks = chunk_text(builder.text, None, builder.spans)
        assert all(len(chunk.surroundings.spans) <= MOST_SPANS for chunk in chunks)


def test_a_context_that_is_too_long_keeps_what_is_nearest() -> None:
    headings = ["Book " * 20, "Part " * 20, "Chapter"]
    names = [f"column {number}" for number in range(100)]
    path, columns = context_text(headings, names).split("\n")
    assert path == f"{headings[1]} > Chapter"
    assert columns.startswith("column 0 | column 1 | ")
    assert len(columns) < 2 * LONGEST_CONTEXT
    assert context_text([], [""]) == ""
