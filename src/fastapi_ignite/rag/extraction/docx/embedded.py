"""Reads a part in another format that Word inserts when it opens the file (`w:altChunk`): a web page, a mail, a text.

Programs that make a Word file out of HTML often leave the work to Word in this way.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.extraction.decoding import decode
from fastapi_ignite.rag.extraction.enclosures import Enclosures
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import OLE_MAGIC, RTF_MAGIC
from fastapi_ignite.rag.extraction.html import read_page
from fastapi_ignite.rag.extraction.mail import read_message
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

UNREADABLE: Final = "The file holds a document of another format; open it in Word, save it and upload it again."
_MAIL: Final = re.compile(rb"\s*(mime-version|from|content-type|date|subject):", re.IGNORECASE)
_MARKUP: Final = re.compile(r"\s*<")


def embedded_text(content: bytes) -> str:
    """Return the text of the part, its paragraphs set off by line ends.

    Raises:
        ExtractionError: the format is none that is read here.
    """
    if content.startswith((RTF_MAGIC, OLE_MAGIC)):
        raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, UNREADABLE)
    if _MAIL.match(content):
        return read_message(content, Enclosures(_refuse, files=0)).text
    text = decode(content, declared=True)
    if not _MARKUP.match(text):
        return text
    page = TextBuilder()
    read_page(text, page)
    return page.text


def _refuse(data: bytes, suffix: str, enclosures: Enclosures) -> ExtractedText:
    """Read no file that is attached to the mail: it would be in a Word file three levels deep."""
    del data, suffix, enclosures
    raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE)
