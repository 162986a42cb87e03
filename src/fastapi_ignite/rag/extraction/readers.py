"""Names the module that reads each binary format, and imports it only for files that may need it.

A reader is a module with two functions. `read(data, media_type)` returns an `ExtractedText` and raises an
`ExtractionError` if it cannot. `load(data)` is optional: it prepares what the library needs files or threads for. It
must not parse `data`, because the process that calls it is not sealed yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Final

from fastapi_ignite.rag.extraction.formats import (
    OLE_MAGIC,
    PDF_MAGIC,
    PDF_PREAMBLE_BYTES,
    RTF_MAGIC,
    ZIP_MAGIC,
    MediaType,
)
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
_OF_ZIP: Final = (
    *(MediaType.DOCX, MediaType.PPTX, MediaType.XLSX),
    *(MediaType.ODT, MediaType.ODS, MediaType.ODP, MediaType.EPUB),
)
# How these formats begin, and what that becomes where a mail holds them.
_ATTACHED: Final = {
    PDF_MAGIC: b"JVBERi0",
    ZIP_MAGIC[0]: b"UEsDB",
    OLE_MAGIC: b"0M8R4KGxGuE",
    RTF_MAGIC: b"e1xydG",
}


def load_attached_readers(data: bytes) -> None:
    """Import the readers that documents attached to a mail may need."""
    for magic, encoded in _ATTACHED.items():
        if encoded in data or magic in data:
            load_readers(magic)


def load_readers(data: bytes) -> bool:
    """Import the readers that this file may need. Return False if it begins like no binary document."""
    names = {_READERS[media_type] for media_type in _candidates(data)}
    for name in sorted(names):
        load = getattr(_reader(name), "load", None)
        if load is not None:
            load(data)
    return bool(names)


def read_document(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a binary document whose format is known.

    Raises:
        ExtractionError: the document is encrypted, damaged or too large.
    """
    found: ExtractedText = _reader(_READERS[media_type]).read(data, media_type)
    return found


def _candidates(data: bytes) -> Iterator[MediaType]:
    if PDF_MAGIC in data[:PDF_PREAMBLE_BYTES]:
        yield MediaType.PDF
    if data.startswith(ZIP_MAGIC):
        yield from _OF_ZIP
    elif data.startswith(OLE_MAGIC):
        yield from (MediaType.PPT, MediaType.OUTLOOK_MESSAGE)
    elif data.startswith(RTF_MAGIC):
        yield MediaType.RTF


def _reader(name: str) -> ModuleType:
    return import_module(f"fastapi_ignite.rag.extraction.{name}")
