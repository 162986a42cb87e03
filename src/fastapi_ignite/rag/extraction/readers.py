"""Names the module that reads each binary format, and imports it only for files that may need it.

A reader is a module with two functions. `read(data, media_type)` returns an `ExtractedText` and raises an
`ExtractionError` if it cannot. `load(data)` is optional: it prepares what the library needs files or threads for. It
must not parse `data`, because the process that calls it is not sealed yet.
"""

from __future__ import annotations

import re
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
    flat_open_type,
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
# How these formats begin, and what that becomes where a mail holds them: as base64 (of a PDF also behind a few bytes,
# which shift the letters) and as quoted-printable.
_ATTACHED: Final = {
    PDF_MAGIC: (PDF_MAGIC, b"JVBERi", b"VBERi", b"UERGL", b"QREYt"),
    ZIP_MAGIC[0]: (ZIP_MAGIC[0], b"UEsDB", b"PK=03=04"),
    OLE_MAGIC: (OLE_MAGIC, b"0M8R4KGxGuE", b"=D0=CF=11=E0"),
    RTF_MAGIC: (RTF_MAGIC, b"e1xydG"),
}
_FLAT_DOCUMENT: Final = re.compile(rb"\.fod[tsp]\b|opendocument\.\w+-flat-xml|<office:document", re.IGNORECASE)
_ENCLOSED_MESSAGE: Final = re.compile(rb"message/(?:rfc822|global)|\.(?:eml|mht|mhtml)\b", re.IGNORECASE)
_ENCODING: Final = re.compile(rb"content-transfer-encoding:\s*(base64|quoted-printable|x-uu|uu)", re.IGNORECASE)


def load_attached_readers(data: bytes) -> None:
    """Import the readers that documents attached to a mail may need.

    How an encoded message begins to encode its own attachments, or what uuencode makes of them, cannot be searched for:
    where there may be one, all readers are imported.
    """
    encodings = {found[1].lower() for found in _ENCODING.finditer(data)}
    hides_any = any(b"uu" in name for name in encodings) or bool(encodings and _ENCLOSED_MESSAGE.search(data))
    for magic, forms in _ATTACHED.items():
        if hides_any or any(form in data for form in forms):
            load_readers(magic)
    if hides_any or _FLAT_DOCUMENT.search(data):
        _reader(_READERS[MediaType.ODT])


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
    elif (flat := flat_open_type(data)) is not None:
        yield flat


def _reader(name: str) -> ModuleType:
    return import_module(f"fastapi_ignite.rag.extraction.{name}")
