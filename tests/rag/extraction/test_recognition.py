"""Scanned pages are read where text recognition is installed (`make test-ocr`), and otherwise refused with advice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, ExtractionLimits, page_at
from fastapi_ignite.rag.extraction.bidirectional import PlacedText
from fastapi_ignite.rag.extraction.recognition import is_installed, lines_of
from support.sample_pdfs import PdfFile, lines, scan, scan_of

Read = Callable[..., Awaitable[ExtractedText]]
Refusal = Callable[..., Awaitable[ExtractionError]]

with_extra = pytest.mark.skipif(not is_installed(), reason="text recognition is an extra: make ocr")
without_extra = pytest.mark.skipif(is_installed(), reason="text recognition is installed")


def box(text: str, left: float, row: int, *, width: float = 200) -> PlacedText:
    return PlacedText(text, left, -20.0 * row - 12, left + width, -20.0 * row)


@without_extra
async def test_a_scan_says_how_it_can_be_read(refusal: Refusal) -> None:
    error = await refusal(scan_of(lines("Invoice 4711")).to_bytes())
    assert error.code == ErrorCode.NO_TEXT
    assert "make ocr" in error.message
    assert not error.retryable


@without_extra
async def test_the_pages_with_text_are_read_without_the_pictures(read: Read) -> None:
    found = await read(mixed().to_bytes())
    assert (found.text, found.page_starts, found.scanned_pages) == ("A page with text", (0, 16), 1)


@with_extra
async def test_a_scanned_page_is_read(read: Read) -> None:
    found = await read(scan_of(lines("Invoice number 4711\nThe pump is served in May.", size=20)).to_bytes())
    assert found.text == "Invoice number 4711\nThe pump is served in May."
    assert found.page_starts == (0,)


@with_extra
async def test_only_pages_without_text_are_recognised(read: Read) -> None:
    found = await read(mixed().to_bytes())
    assert found.text == "A page with text\n\nInvoice number 4711"
    assert page_at(found.page_starts, found.text.index("4711")) == 2


@with_extra
async def test_a_picture_without_text_has_none(refusal: Refusal) -> None:
    assert (await refusal(scan(b"\xff" * 10_000, width=100, height=100).to_bytes())).code == ErrorCode.NO_TEXT


def test_side_by_side_is_one_line_unless_it_is_running_text() -> None:
    table = [box(text, left, row, width=60) for row in range(5) for text, left in ((f"a{row}", 0), (f"b{row}", 300))]
    assert list(lines_of(table)) == [f"a{row} b{row}" for row in range(5)]
    columns = [box(f"{side}{row}", left, row + 1) for row in range(5) for side, left in (("l", 0), ("r", 260))]
    title = PlacedText("title", 0, -12, 460, 0)
    assert list(lines_of([*columns, title])) == ["title", "l0", "l1", "l2", "l3", "l4", "r0", "r1", "r2", "r3", "r4"]


def test_too_many_scanned_pages_are_refused_before_they_are_read() -> None:
    limits = ExtractionLimits.for_size(1000)
    assert limits.for_recognition(100).cpu_seconds > limits.for_recognition(1).cpu_seconds > limits.cpu_seconds
    with pytest.raises(ExtractionError, match="more than can be recognised"):
        limits.for_recognition(101)


def mixed() -> PdfFile:
    """Return a file with a page of text and a page that is a picture."""
    return scan_of(lines("Invoice number 4711", size=20), before=lines("A page with text"))
