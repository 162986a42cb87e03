"""A passage knows the headings, columns and spans of its document."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.text.outline import Outline
from fastapi_ignite.rag.text.surroundings import Surroundings

PASSAGE = 300


def handbook() -> TextBuilder:
    builder = TextBuilder()
    for part in range(4):
        builder.heading(f"Part {part}", 1 + part % 2)
        builder.paragraph("The crane lifts what it can carry. " * 12)
        rows = [["Crane", "Load"], *([f"Crane {part}{number}", f"{number} tonnes"] for number in range(60))]
        builder.table(rows, header_rows=1)
        builder.list_item("- No lifting in a storm.")
        builder.list_item("- Ropes are looked at every week.")
    return builder


HANDBOOK = handbook()
OUTLINE = Outline(HANDBOOK.text, HANDBOOK.spans)
places = st.integers(0, len(HANDBOOK.text) - 2 * PASSAGE)


@given(places)
def test_what_is_stored_is_read_again(start: int) -> None:
    known = OUTLINE.surroundings(start, start + PASSAGE)
    assert Surroundings.from_json(json.loads(json.dumps(known.to_json()))) == known


@given(places, st.integers(PASSAGE, 2 * PASSAGE))
def test_two_passages_joined_know_what_one_of_both_knows(start: int, distance: int) -> None:
    first = OUTLINE.surroundings(start, start + PASSAGE)
    second = OUTLINE.surroundings(start + distance, start + distance + PASSAGE)
    assert first.joined(second) == OUTLINE.surroundings(start, start + distance + PASSAGE)


def test_nothing_is_stored_of_plain_prose() -> None:
    outline = Outline("Plain prose.", ())
    assert outline.surroundings(0, 12).to_json() is None
    assert Surroundings.from_json(None) == Surroundings()
