"""Names the module that reads each binary format, and loads them all.

A reader is a module with a function `read(data, media_type)`, which returns an `ExtractedText` and raises an
`ExtractionError` if it cannot.
"""

from __future__ import annotations

import codecs
import contextlib
import encodings
import importlib
import pkgutil
from types import ModuleType
from typing import Final

from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.result import ExtractedText

_READERS: Final = {
    MediaType.PDF: "pdf",
    MediaType.RTF: "rtf",
    MediaType.DOCX: "docx",
    MediaType.PPTX: "pptx",
    MediaType.XLSX: "xlsx",
    MediaType.ODT: "odf",
    MediaType.ODS: "odf",
    MediaType.ODP: "odf",
    MediaType.EPUB: "epub",
    MediaType.PPT: "ppt",
    MediaType.OUTLOOK_MESSAGE: "mail.msg",
}


def load_code() -> None:
    """Import all that any file may need: every reader, and every codec of Python.

    A parser can open nothing once it is sealed. The fork server calls this once, for all of its parsers.
    """
    for name in (*sorted({*_READERS.values()}), "html", "mail"):
        _reader(name)
    importlib.import_module("charset_normalizer")
    for module in pkgutil.iter_modules(encodings.__path__):
        with contextlib.suppress(LookupError):
            codecs.lookup(module.name)


def read_document(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a binary document whose format is known.

    Raises:
        ExtractionError: the document is encrypted, damaged or too large.
    """
    found: ExtractedText = _reader(_READERS[media_type]).read(data, media_type)
    return found


def _reader(name: str) -> ModuleType:
    return importlib.import_module(f"fastapi_ignite.rag.extraction.{name}")
