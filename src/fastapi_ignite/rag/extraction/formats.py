"""Which format a file has. Its bytes decide; its name only chooses among formats that are all plain text."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError


class MediaType(StrEnum):
    PDF = "application/pdf"
    RTF = "application/rtf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    ODT = "application/vnd.oasis.opendocument.text"
    ODS = "application/vnd.oasis.opendocument.spreadsheet"
    ODP = "application/vnd.oasis.opendocument.presentation"
    EPUB = "application/epub+zip"
    PPT = "application/vnd.ms-powerpoint"
    OUTLOOK_MESSAGE = "application/vnd.ms-outlook"
    HTML = "text/html"
    EMAIL = "message/rfc822"
    PLAIN = "text/plain"


ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PDF_MAGIC: Final = b"%PDF-"
# so far into a file the magic may stand, behind bytes that a mail or a web server left there
PDF_PREAMBLE_BYTES: Final = 1024
RTF_MAGIC: Final = b"{\\rtf"
# How OpenDocument files and books name their format in a package, and OpenDocument files of one part in their root.
OPEN_MIMETYPES: Final = {
    **{media_type.value: media_type for media_type in (MediaType.ODT, MediaType.ODS, MediaType.ODP, MediaType.EPUB)},
    **{f"{media_type.value}-template": media_type for media_type in (MediaType.ODT, MediaType.ODS, MediaType.ODP)},
    f"{MediaType.ODT.value}-master": MediaType.ODT,
}
_FLAT_ROOT: Final = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*(?:<\?[^<>]*\?>\s*|<!--[^<>]*-->\s*)*<office:document\s"""
    rb"""(?:[^<>]*?\s)?office:mimetype\s*=\s*["'](application/vnd\.oasis\.opendocument\.[a-z-]{1,40})["']"""
)
_FLAT_ROOT_BYTES: Final = 16 * 1024

_ARCHIVE: Final = "Archives are not unpacked; upload the files inside it one by one."
_MEDIA: Final = "Pictures, sound and video hold no text that can be read; upload a document with text."
_BINARY: Final = "This is a program or data file without readable text."
_LEGACY: Final = "Files of Word and Excel before 2007 are not read; save it as .docx or .xlsx and upload it again."

_REFUSED: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x1f\x8b", _ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (0, b"Rar!\x1a\x07", _ARCHIVE),
    (0, b"\xfd7zXZ\x00", _ARCHIVE),
    (0, b"BZh", _ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (0, b"\x04\x22\x4d\x18", _ARCHIVE),
    (0, b"MSCF\x00\x00\x00\x00", _ARCHIVE),
    (257, b"ustar", _ARCHIVE),
    (0, b"\x89PNG\r\n\x1a\n", _MEDIA),
    (0, b"\xff\xd8\xff", _MEDIA),
    (0, b"GIF87a", _MEDIA),
    (0, b"GIF89a", _MEDIA),
    (0, b"II*\x00", _MEDIA),
    (0, b"MM\x00*", _MEDIA),
    (0, b"RIFF", _MEDIA),
    (4, b"ftyp", _MEDIA),
    (0, b"ID3", _MEDIA),
    (0, b"OggS", _MEDIA),
    (0, b"fLaC", _MEDIA),
    (0, b"\x1a\x45\xdf\xa3", _MEDIA),
    (0, b"\x7fELF", _BINARY),
    (0, b"\xca\xfe\xba\xbe", _BINARY),
    (0, b"\xcf\xfa\xed\xfe", _BINARY),
    (0, b"\x00asm", _BINARY),
    (0, b"SQLite format 3\x00", _BINARY),
)
# Names in the directory of an OLE file, as they stand there: in UTF-16.
_OLE_ENCRYPTION: Final = tuple(name.encode("utf-16-le") for name in ("EncryptedPackage\0", "EncryptedSummary\0"))
_OLE_STREAMS: Final = (
    ("PowerPoint Document\0".encode("utf-16-le"), MediaType.PPT),
    ("__properties_version1.0\0".encode("utf-16-le"), MediaType.OUTLOOK_MESSAGE),
)
# Enough of these control characters never stand in a text, whatever its encoding; ESC and form feed do.
_CONTROLS: Final = bytes(c for c in range(32) if c not in b"\t\n\r\f\x1a\x1b") + b"\x7f"
_CONTROL_SHARE: Final = 50

_HTML_SUFFIXES: Final = frozenset({".html", ".htm", ".xhtml", ".xht"})
_MAIL_HEADERS: Final = (
    *("received:", "return-path:", "mime-version:", "message-id:", "delivered-to:"),
    *("from:", "to:", "subject:", "date:", "content-type:"),
)
# Names under which markup or headers are the text itself: nothing in such a file is interpreted.
_TEXT_TYPES: Final = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".mdx": "text/markdown",
    ".rst": "text/x-rst",
    ".tex": "text/x-tex",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".ipynb": "application/x-ipynb+json",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".ini": "text/plain",
    ".cfg": "text/plain",
    ".conf": "text/plain",
    ".sql": "application/sql",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
}
# fmt: off
_SOURCE_SUFFIXES: Final = frozenset({
    ".bash", ".bat", ".c", ".cc", ".clj", ".cpp", ".cs", ".cshtml", ".cxx", ".dart", ".erb", ".ex", ".exs",
    ".f90", ".go", ".gradle", ".graphql", ".groovy", ".h", ".hpp", ".hs", ".java", ".jl", ".jsp", ".jsx", ".kt",
    ".kts", ".less", ".lua", ".m", ".php", ".pl", ".pm", ".proto", ".ps1", ".py", ".pyi", ".r", ".rb", ".rs",
    ".scala", ".scss", ".sh", ".svelte", ".swift", ".tf", ".tpl", ".ts", ".tsx", ".twig", ".vb", ".vue", ".zig",
})
# fmt: on


def binary_type(data: bytes) -> MediaType | None:
    """The format of a file that is not text and not a zip package; None for what may be text.

    Raises:
        ExtractionError: the bytes are of a type that is never indexed.
    """
    if data.lstrip(b"\xef\xbb\xbf \t\r\n\x00")[: len(PDF_MAGIC)] == PDF_MAGIC or _pdf_behind_a_preamble(data):
        return MediaType.PDF
    if data.startswith(RTF_MAGIC):
        return MediaType.RTF
    if data.startswith(OLE_MAGIC):
        return _ole_type(data)
    flat = flat_open_type(data)
    if flat is not None:
        return flat
    for offset, magic, message in _REFUSED:
        if data.startswith(magic, offset) and not _is_ascii(data):
            raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, message)
    return None


def flat_open_type(data: bytes) -> MediaType | None:
    """Return the format of an OpenDocument file that is one XML file and no package (`.fodt`); None for other files."""
    root = _FLAT_ROOT.match(data[:_FLAT_ROOT_BYTES])
    return OPEN_MIMETYPES.get(root[1].decode()) if root is not None else None


def refuse_control_characters(text: bytes) -> None:
    """No text holds NULs or a percentage of control characters, whatever its encoding: such bytes are data."""
    controls = len(text) - len(text.translate(None, _CONTROLS))
    if b"\x00" in text or controls * _CONTROL_SHARE > len(text):
        raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, _BINARY)


def text_type(text: str, suffix: str) -> str:
    """The media type of decoded text under a name ending in `suffix`."""
    if suffix in _TEXT_TYPES:
        return _TEXT_TYPES[suffix]
    if suffix in _SOURCE_SUFFIXES:
        return "text/x-source-code"
    start = text[:4096].lstrip().lower()
    if suffix in _HTML_SUFFIXES or start.startswith(("<!doctype html", "<html")):
        return MediaType.HTML
    if _begins_with_mail_headers(start, named=suffix == ".eml"):
        return MediaType.EMAIL
    return MediaType.PLAIN


def _begins_with_mail_headers(start: str, *, named: bool) -> bool:
    head = start.split("\n\n", 1)[0].split("\n")
    known = sum(line.startswith(_MAIL_HEADERS) for line in head)
    return known >= (1 if named else 3)


def _pdf_behind_a_preamble(data: bytes) -> bool:
    return b"\n" + PDF_MAGIC in data[:PDF_PREAMBLE_BYTES] and b"startxref" in data[-2048:] and not _is_ascii(data)


def _is_ascii(data: bytes) -> bool:
    """A text about formats may begin with the letters of one, such as `RIFF` or `ID3`; the formats are never ASCII."""
    return data.isascii() and b"\x00" not in data


def _ole_type(data: bytes) -> MediaType:
    if any(stream in data for stream in _OLE_ENCRYPTION):
        raise ExtractionError(ErrorCode.PASSWORD_PROTECTED)
    for stream, media_type in _OLE_STREAMS:
        if stream in data:
            return media_type
    raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, _LEGACY)
