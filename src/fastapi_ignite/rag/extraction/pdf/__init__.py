"""Reads PDF files with pdfium, page by page.

What is kept: the text of each page in the order in which pdfium gives it, as it is printed, the values of form fields
where they stand, and text boxes and comments at the end of their page. What is left out: outlines, metadata, attached
files, passwords in fields, and whatever is hidden or lies outside of the page. The text in pictures is left out unless
a page has no other and recognition is loaded. A page that cannot be read counts as empty as long as half of the pages
can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from fastapi_ignite.rag.extraction import recognition
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.pdf.fields import read_annotations
from fastapi_ignite.rag.extraction.pdf.page import PageReader, UnreadableFontError
from fastapi_ignite.rag.extraction.pdf.pictures import has_picture, recognised_text
from fastapi_ignite.rag.extraction.pdf.xfa import xfa_lines
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_MOST_PAGES: Final = 20_000
_ENCRYPTED: Final = {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a PDF. Every page has its number, an empty one too.

    Raises:
        ExtractionError: the file is encrypted, damaged or too large.
    """
    builder = TextBuilder()
    damaged = scanned = 0
    with _opened(data) as document, _form_of(document) as form:
        count = len(document)
        if count > _MOST_PAGES:
            raise ExtractionError(ErrorCode.TOO_LARGE)
        reader = PageReader(document)
        for number in range(count):
            builder.page()
            try:
                with contextlib.closing(document[number]) as page:
                    scanned += not _add_page(page, form, reader, builder)
            except (pdfium.PdfiumError, ValueError, OverflowError):  # the latter two from sizes that are no numbers
                damaged += 1
        for line in xfa_lines(document):
            builder.line(line)
    if 2 * damaged > count or not count:
        raise ExtractionError(ErrorCode.CORRUPT_FILE)
    return ExtractedText(builder.text, builder.page_starts, media_type.value, builder.spans, scanned)


def _add_page(page: pdfium.PdfPage, form: Any, reader: PageReader, builder: TextBuilder) -> bool:
    """Add what the page says. Return False if that can only be recognised, and recognition is not loaded."""
    annotations = read_annotations(page, form)
    try:
        text = reader.text_of(page, annotations.fields)
        is_scan = not text.strip() and has_picture(page)
    except UnreadableFontError:
        text, is_scan = "", True
    if is_scan and recognition.is_loaded():
        text, is_scan = recognised_text(page), False
    builder.paragraph(text)
    for note in annotations.notes:
        builder.paragraph(note)
    return not is_scan


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[pdfium.PdfDocument]:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as failure:
        encrypted = failure.err_code in _ENCRYPTED
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED if encrypted else ErrorCode.CORRUPT_FILE) from failure
    with contextlib.closing(document):
        yield document


@contextlib.contextmanager
def _form_of(document: pdfium.PdfDocument) -> Iterator[Any]:
    """Yield what pdfium needs to look at form fields, None if the document has no form."""
    if document.get_formtype() == pdfium_c.FORMTYPE_NONE:
        yield None
        return
    settings = pdfium_c.FPDF_FORMFILLINFO(version=2)
    form = pdfium_c.FPDFDOC_InitFormFillEnvironment(document, settings)
    try:
        yield form
    finally:
        if form:
            pdfium_c.FPDFDOC_ExitFormFillEnvironment(form)
