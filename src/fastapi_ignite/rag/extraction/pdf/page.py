"""Reads the text of one page of a PDF in reading order, with the values of its form fields where they stand."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from fastapi_ignite.rag.extraction.bidirectional import (
    PlacedText,
    has_right_to_left,
    reading_order,
    reads_from_the_right,
)
from fastapi_ignite.rag.extraction.conventions.superscripts import raised
from fastapi_ignite.rag.extraction.pdf.fields import Field, with_fields
from fastapi_ignite.rag.extraction.pdf.superscripts import raised_digits, with_raised

# pdfium takes the direction of a single character from how the page is filled: on a page with little text it runs `1`,
# `2` and `3` of three lines together. A line over the whole width of the page, removed afterwards, prevents that.
_GUIDE: Final = "\u2030"
_GUIDE_SIZE: Final = 6.0
_LONGEST_GUIDE: Final = 500
# A page set in columns of single ideographs is read without the guide.
_VERTICAL_LINE: Final = re.compile("(?:^|\n)[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef](?=\n)")
_VERTICAL_LINES: Final = 8
# pdfium's mark for a hyphen at the end of a line, whose line end it leaves out
_HYPHEN: Final = "\x02"
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_BLANKS_AROUND_LINES: Final = re.compile("^[ \t]+|[ \t]+$", re.MULTILINE)
# The pictures of Symbol and Wingdings that mark list items and ticks; their code points are of private use.
_PICTURES: Final = {
    0xF0B7: "•",
    0xF0A7: "▪",
    0xF06F: "○",
    0xF0A8: "◻",
    0xF0D8: "➢",
    0xF0E0: "→",
    0xF0FC: "✓",
    0xF0FE: "☑",
}
_SAMPLE: Final = 64
_CONTROL_SHARE: Final = 20


class UnreadableFontError(Exception):
    """The fonts of the page do not say which characters their glyphs are: what they give is no text."""


class PageReader:
    """Reads the pages of one document."""

    def __init__(self, document: pdfium.PdfDocument) -> None:
        self._document = document
        self._font = pdfium_c.FPDFText_LoadStandardFont(document, b"Helvetica")

    def text_of(self, page: pdfium.PdfPage, fields: Sequence[Field]) -> str:
        """Return the text inside the page's box.

        Raises:
            UnreadableFontError: see there.
        """
        box = PlacedText("", *page.get_bbox())
        if page.get_rotation() not in {90, 270}:  # where lines run upwards, the guide would mislead
            with self._guided(page) as (content, guide):
                text = content.get_text_bounded()
                if len(_VERTICAL_LINE.findall(text.replace("\r\n", "\n"))) < _VERTICAL_LINES:
                    return _finished(content, len(guide), text, box, fields)
        with contextlib.closing(page.get_textpage()) as content:
            return _finished(content, 0, content.get_text_bounded(), box, fields)

    @contextlib.contextmanager
    def _guided(self, page: pdfium.PdfPage) -> Iterator[tuple[pdfium.PdfTextPage, str]]:
        left, bottom, right, _ = page.get_bbox()
        guide = _GUIDE * int(
            min(_LONGEST_GUIDE, max(2, (right - left) / _GUIDE_SIZE))
        )  # 2 for a width that is no number
        line = pdfium_c.FPDFPageObj_CreateTextObj(self._document, self._font, _GUIDE_SIZE)
        encoded = ctypes.create_string_buffer((guide + "\0").encode("utf-16-le"))
        pdfium_c.FPDFText_SetText(line, ctypes.cast(encoded, pdfium_c.FPDF_WIDESTRING))
        pdfium_c.FPDFPageObj_Transform(line, 1, 0, 0, 1, left, bottom + 1)
        pdfium_c.FPDFPage_InsertObject(page, line)
        try:
            with contextlib.closing(page.get_textpage()) as content:
                yield content, guide
        finally:
            pdfium_c.FPDFPage_RemoveObject(page, line)
            pdfium_c.FPDFPageObj_Destroy(line)


def _finished(
    content: pdfium.PdfTextPage, guide_length: int, text: str, page: PlacedText, fields: Sequence[Field]
) -> str:
    digits = raised_digits(content, text)
    text = with_raised(text, digits) if digits else text
    text = _without_guide(text) if guide_length else text
    if _is_gibberish(content, text, guide_length):
        raise UnreadableFontError
    if fields or has_right_to_left(text):
        from_the_right = reads_from_the_right(text)
        lines = [
            reading_order(line, page_from_the_right=from_the_right)
            for line in _placed_lines(content, guide_length, page, frozenset(digits.values()))
        ]
        text = "\n".join("".join(part.text for part in line) for line in with_fields(lines, fields))
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return _clean(text)


def _is_gibberish(content: pdfium.PdfTextPage, text: str, guide_length: int) -> bool:
    """Return True if most of the page's glyphs have no known character and their numbers are no text either."""
    controls = len(_CONTROLS.findall(text)) - text.count(_HYPHEN)
    if controls * _CONTROL_SHARE < len(text) or not text:
        return False
    count = content.count_chars() - guide_length
    sample = range(0, count, max(1, count // _SAMPLE))
    unknown = [index for index in sample if pdfium_c.FPDFText_HasUnicodeMapError(content, index) == 1]
    return 2 * len(unknown) > len(sample)


def _placed_lines(
    content: pdfium.PdfTextPage, guide_length: int, page: PlacedText, raised_characters: AbstractSet[int]
) -> list[list[PlacedText]]:
    lines: list[list[PlacedText]] = [[]]
    for number, part in enumerate(_placed_characters(content)):
        if part.text == "\n":
            lines.append([])
        elif part.text == _GUIDE and guide_length and part.top <= page.bottom + 2 * _GUIDE_SIZE:
            guide_length -= 1
        elif part.text == _HYPHEN:
            lines[-1].append(part.with_text("-"))
            lines.append([])
        elif part.text not in {"\r", "\0"} and part.touches(page):
            lines[-1].append(part.with_text(raised(part.text)) if number in raised_characters else part)
    return [line for line in lines if line]


def _placed_characters(content: pdfium.PdfTextPage) -> Iterator[PlacedText]:
    left, bottom, right, top = (ctypes.c_double() for _ in range(4))
    places = (left, right, bottom, top)
    for index in range(content.count_chars()):
        code = pdfium_c.FPDFText_GetUnicode(content, index)
        pdfium_c.FPDFText_GetCharBox(content, index, *places)
        yield PlacedText(chr(min(code, sys.maxunicode)), left.value, bottom.value, right.value, top.value)


def _without_guide(text: str) -> str:
    end = text.rfind(2 * _GUIDE) + 2
    return text[:end].rstrip(_GUIDE).removesuffix("\r\n") + text[end:] if end > 1 else text


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace(_HYPHEN, "-\n")
    return _BLANKS_AROUND_LINES.sub("", _CONTROLS.sub("", text.translate(_PICTURES)))
