"""Zip packages: which document they hold, and whether unpacking them is safe."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Final

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import OPEN_MIMETYPES, MediaType

# A spreadsheet of equal rows packs fifty to one; a bomb a thousand to one. Small packages may do as they like.
_MAX_UNPACKED: Final = 512 * 1024**2
_SAFE_UNPACKED: Final = 48 * 1024**2
_MAX_RATIO: Final = 150
_MAX_ENTRIES: Final = 20_000
_INDEX_BYTES: Final = 4 * 1024**2

_OFFICE_INDEX: Final = "[content_types].xml"
_OFFICE_PARTS: Final = (
    ("word/document.xml", MediaType.DOCX),
    ("ppt/presentation.xml", MediaType.PPTX),
    ("xl/workbook.xml", MediaType.XLSX),
)
# The content type of the main part; documents that are embedded in another have types of their own.
_MAIN_CONTENT_TYPES: Final = (
    (re.compile(rb"(?:wordprocessingml|ms-word)[\w.-]*main\+xml", re.IGNORECASE), MediaType.DOCX),
    (re.compile(rb"(?:presentationml|ms-powerpoint)[\w.-]*main\+xml", re.IGNORECASE), MediaType.PPTX),
    (re.compile(rb"(?:spreadsheetml|ms-excel)[\w.-]*main\+xml", re.IGNORECASE), MediaType.XLSX),
)
_MANIFEST: Final = "META-INF/manifest.xml"
_MANIFEST_TYPE: Final = re.compile(rb'full-path="/"[^>]{0,200}?media-type="([^"]{1,100})"|media-type="([^"]{1,100})"')
_TOO_LARGE: Final = "Unpacked, the file is far larger than it may be; save it without embedded media or split it."


def package_type(data: bytes) -> MediaType:
    """The document in a zip package, after making sure that it can be unpacked in bounded memory.

    Raises:
        ExtractionError: a plain archive, an encrypted or damaged package, or one that unpacks to too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            media_type = _document_in(package)
            _refuse_bombs(package, data)
            return media_type
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,  # zipfile's word for a compression that it cannot unpack
        EOFError,
        ValueError,
        KeyError,
        OverflowError,
    ) as damage:
        raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage


def _document_in(package: zipfile.ZipFile) -> MediaType:
    names = set(package.namelist())
    index = next((name for name in names if name.lower() == _OFFICE_INDEX), None)
    if index is not None:
        media_type = _office_type(package, names, index)
    else:
        media_type = _open_type(package, names)
        if media_type and _has_encrypted_content(package, names):
            raise ExtractionError(ErrorCode.PASSWORD_PROTECTED)
    if media_type is None:
        raise ExtractionError(
            ErrorCode.UNSUPPORTED_TYPE, "Archives are not unpacked; upload the files inside it one by one."
        )
    if any(entry.flag_bits & 0x1 for entry in package.infolist()):
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED)
    return media_type


def _open_type(package: zipfile.ZipFile, names: set[str]) -> MediaType | None:
    """Return the type of an OpenDocument file or a book. Some programs forget the part that names it."""
    if "mimetype" in names:
        return OPEN_MIMETYPES.get(_read_start(package, "mimetype").strip().decode("ascii", "replace"))
    if "META-INF/container.xml" in names:
        return MediaType.EPUB
    if _MANIFEST in names and "content.xml" in names:
        found = _MANIFEST_TYPE.search(_read_start(package, _MANIFEST))
        return OPEN_MIMETYPES.get((found[1] or found[2]).decode("ascii", "replace")) if found else None
    return None


def _office_type(package: zipfile.ZipFile, names: set[str], index_name: str) -> MediaType | None:
    for part, media_type in _OFFICE_PARTS:
        if part in names:
            return media_type
    index = _read_start(package, index_name).replace(b"\x00", b"")  # in UTF-16 every second byte is NUL
    for content_type, media_type in _MAIN_CONTENT_TYPES:
        if content_type.search(index):
            return media_type
    return None


def _has_encrypted_content(package: zipfile.ZipFile, names: set[str]) -> bool:
    """OpenDocument says so in its manifest; an EPUB encrypts its pages, or only fonts, which is no hindrance."""
    if _MANIFEST in names and b"encryption-data" in _read_start(package, _MANIFEST):
        return True
    return "META-INF/encryption.xml" in names and b"html" in _read_start(package, "META-INF/encryption.xml").lower()


def _read_start(package: zipfile.ZipFile, name: str) -> bytes:
    if package.getinfo(name).flag_bits & 0x1:
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED)
    with package.open(name) as part:
        return part.read(_INDEX_BYTES)


def _refuse_bombs(package: zipfile.ZipFile, data: bytes) -> None:
    entries = package.infolist()
    # what a header says too little of is never unpacked: `package_parts.unpack` stops there, and the checksum is wrong
    declared = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_ENTRIES or _is_excessive(declared, len(data)):
        raise ExtractionError(ErrorCode.TOO_LARGE, _TOO_LARGE)
    if any(entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for entry in entries):
        raise ExtractionError(ErrorCode.CORRUPT_FILE)


def _is_excessive(unpacked: int, packed: int) -> bool:
    return unpacked > _MAX_UNPACKED or (unpacked > _SAFE_UNPACKED and unpacked > packed * _MAX_RATIO)
