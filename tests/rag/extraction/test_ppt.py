"""Presentations of PowerPoint 97 to 2003."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, SpanKind
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.ppt import read as read_ppt
from support.ole_files import OldSlide, make_ole, make_ppt, record

Read = Callable[..., Awaitable[ExtractedText]]
SLIDES = (
    OldSlide([(0, "Wärme"), (1, "First point\rSecond\x0bline")], number_placeholder="*"),
    OldSlide(),
    OldSlide([(4, "Numbers")], notes="Say this about numbers.", hidden=True),
)


def pages(found: ExtractedText) -> list[str]:
    starts = found.page_starts or ()
    return [
        found.text[start:end].strip("\n") for start, end in zip(starts, (*starts[1:], len(found.text)), strict=True)
    ]


async def test_slides_are_pages_with_their_notes(read: Read) -> None:
    found = await read(make_ppt(SLIDES), "old.ppt")
    assert found.media_type == MediaType.PPT
    assert pages(found) == [
        "Wärme\n\nFirst point\n\nSecond\nline",
        "",
        "(hidden slide)\n\nNumbers\n\nNotes:\n\nSay this about numbers.",
    ]
    headings = [found.text[span.start : span.end] for span in found.spans if span.kind is SpanKind.HEADING]
    assert headings == ["Wärme", "Notes:"]


async def test_the_order_is_that_of_the_show(read: Read) -> None:
    assert pages(await read(make_ppt(SLIDES, order=[2, 0, 1])))[1].startswith("Wärme")


async def test_texts_of_the_outline_stand_where_their_shapes_are(read: Read) -> None:
    found = await read(make_ppt([OldSlide([(4, "A box")], outline=[(0, "The title"), (1, "The body")])]))
    assert pages(found) == ["The title\n\nA box\n\nThe body"]


async def test_copies_of_earlier_saves_are_not_read(read: Read) -> None:
    assert "stale" not in (await read(make_ppt(SLIDES))).text


def refused(data: bytes) -> str:
    with pytest.raises(ExtractionError) as caught:
        read_ppt(data, MediaType.PPT)
    return caught.value.code


def outcome(data: bytes) -> str:
    try:
        read_ppt(data, MediaType.PPT)
    except ExtractionError as failure:
        return failure.code
    return "read"


def test_damage_has_a_code() -> None:
    codes = set()
    whole = make_ppt(SLIDES)
    start = whole.index(b"\x0f\x00\xee\x03")
    for place in range(start, start + 1500, 7):
        damaged = whole[:place] + b"\xff\xff" + whole[place + 2 :]
        codes.add(outcome(damaged))
    assert codes <= {"read", ErrorCode.CORRUPT_FILE}
    assert refused(make_ole({"PowerPoint Document": b"\0" * 100})) == ErrorCode.CORRUPT_FILE
    assert refused(whole[:1024]) == ErrorCode.CORRUPT_FILE


def test_a_slide_that_is_listed_a_thousand_times_is_refused() -> None:
    """Reading a large slide a thousand times would take hours."""
    data = make_ppt([OldSlide([(4, "x" * 2000)])], order=[0] * 1000)
    assert refused(data) == ErrorCode.CORRUPT_FILE


def test_records_may_be_nested_without_end() -> None:
    nested = b""
    for _ in range(3000):
        nested = record(0xF003, nested, container=True)
    data = make_ppt([OldSlide([(4, "found")])])
    assert "found" in read_ppt(data, MediaType.PPT).text
    assert refused(make_ole({"PowerPoint Document": record(0x03EE, nested, container=True)})) == ErrorCode.CORRUPT_FILE
