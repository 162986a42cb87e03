"""The text of a document while it is built: blocks, pages and spans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastapi_ignite.rag.extraction import SpanKind, page_at
from fastapi_ignite.rag.extraction.structure import spans_from_json, spans_to_json
from fastapi_ignite.rag.extraction.text_builder import TextBuilder


def test_every_span_is_the_text_that_was_added() -> None:
    builder = TextBuilder()
    builder.heading("Prices\r\nof 2026", 2)
    builder.paragraph("All prices are in euros.\x00")
    builder.list_item("- Team")
    builder.list_item("- Plus")
    builder.table([["Plan", "Price", ""], ["", ""], ["Plus", "40\tEUR"]], header_rows=1)
    builder.code("def price():\n    return 40")
    assert builder.text == (
        "Prices of 2026\n\nAll prices are in euros.\n\n- Team\n- Plus\n\n"
        "Plan\tPrice\nPlus\t40 EUR\n\ndef price():\n    return 40"
    )
    found = [(span.kind, span.level, builder.text[span.start : span.end]) for span in builder.spans]
    assert found == [
        (SpanKind.HEADING, 2, "Prices of 2026"),
        (SpanKind.LIST_ITEM, 0, "- Team"),
        (SpanKind.LIST_ITEM, 0, "- Plus"),
        (SpanKind.TABLE, 1, "Plan\tPrice\nPlus\t40 EUR"),
        (SpanKind.CODE, 0, "def price():\n    return 40"),
    ]
    assert spans_from_json(spans_to_json(builder.spans)) == builder.spans
    assert builder.length == len(builder.text)


def test_a_text_with_spans_of_its_own_is_added_as_it_is() -> None:
    inner = TextBuilder()
    inner.paragraph("Prices")
    inner.table([["Plan", "Price"], ["Plus", "40"]], header_rows=1)
    builder = TextBuilder()
    builder.paragraph("See the file.")
    builder.document("\n\n" + inner.text + "\n", [replace(s, start=s.start + 2, end=s.end + 2) for s in inner.spans])
    builder.document("", [])
    builder.document(inner.text, inner.spans)
    assert builder.text == f"See the file.\n\n{inner.text}\n\n{inner.text}"
    assert [builder.text[span.start : span.end] for span in builder.spans] == ["Plan\tPrice\nPlus\t40"] * 2


def test_an_empty_page_keeps_its_number() -> None:
    builder = TextBuilder()
    for text in ("", "second", "", "", "fifth", ""):
        builder.page()
        builder.paragraph(text)
    assert builder.page_starts is not None
    assert len(builder.page_starts) == 6
    assert [page_at(builder.page_starts, builder.text.index(word)) for word in ("second", "fifth")] == [2, 5]


def test_a_text_before_the_first_page_belongs_to_it() -> None:
    builder = TextBuilder()
    builder.paragraph("cover")
    builder.page()
    builder.paragraph("first")
    assert builder.page_starts == (0,)
    assert TextBuilder().page_starts is None


def test_a_table_whose_header_is_empty_has_none() -> None:
    builder = TextBuilder()
    builder.table([["", ""], ["Ada", "42"]], header_rows=1)
    (table,) = builder.spans
    assert table.level == 0


@pytest.mark.parametrize("dirt", ["a\nb", "a\tb", "a\u2028b", " a b", "a b ", "a\x00 b", "a\r\nb\n"])
def test_a_cell_with_blanks_or_line_ends_is_one_cell(dirt: str) -> None:
    builder = TextBuilder()
    builder.table([["x", "", "y"], [], ["", dirt, "z"], [dirt]], header_rows=2)
    assert builder.text == "x\t\ty\n\ta b\tz\na b"
    assert builder.spans[0].level == 1
