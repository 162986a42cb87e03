"""Finds pages of a PDF that are pictures, and has their text recognised."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from fastapi_ignite.rag.extraction import recognition
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_MOST_OBJECTS: Final = 10_000
_DEEPEST_FORM: Final = 8
# A sheet of A3 scanned with 600 dots an inch has 70 million pixels.
_MOST_PIXELS: Final = 100_000_000


def has_picture(page: pdfium.PdfPage) -> bool:
    return next(_pictures(page), None) is not None


def recognised_text(page: pdfium.PdfPage) -> str:
    """Return the text that the page shows. Recognition must be loaded.

    Raises:
        ExtractionError: the pictures of the page need more memory than one file may use.
    """
    if sum(map(_pixels_of, _pictures(page))) > _MOST_PIXELS:
        raise ExtractionError(ErrorCode.TOO_LARGE)
    scale = recognition.LONGER_SIDE / max(*page.get_size(), 1.0)
    return recognition.text_in(page.render(scale=scale, may_draw_forms=False, rev_byteorder=False).to_numpy())


def _pictures(page: pdfium.PdfPage) -> Iterator[Any]:
    waiting = [
        (pdfium_c.FPDFPage_GetObject(page, index), 0)
        for index in range(min(pdfium_c.FPDFPage_CountObjects(page), _MOST_OBJECTS))
    ]
    for _ in range(_MOST_OBJECTS):
        if not waiting:
            return
        item, depth = waiting.pop()
        kind = pdfium_c.FPDFPageObj_GetType(item)
        if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            yield item
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth < _DEEPEST_FORM:
            count = min(pdfium_c.FPDFFormObj_CountObjects(item), _MOST_OBJECTS)
            waiting += [(pdfium_c.FPDFFormObj_GetObject(item, index), depth + 1) for index in range(count)]


def _pixels_of(picture: Any) -> int:
    width, height = ctypes.c_uint(), ctypes.c_uint()
    pdfium_c.FPDFImageObj_GetImagePixelSize(picture, width, height)
    return width.value * height.value
