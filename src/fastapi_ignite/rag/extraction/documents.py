"""Office documents, PDFs and books, through kreuzberg, with page offsets in code points."""

from __future__ import annotations

import contextlib
import re
import secrets
from typing import TYPE_CHECKING, Final

from fastapi_ignite.rag.extraction.decoding import unix_newlines
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import PDF_MAGIC, PDF_PREAMBLE_BYTES, MediaType
from fastapi_ignite.rag.extraction.result import ExtractedText

if TYPE_CHECKING:
    from kreuzberg import ExtractionConfig, ExtractionResult

_PAGED: Final = frozenset({MediaType.PDF, MediaType.PPTX})


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a document. Only PDF pages and slides are pages.

    Raises:
        ExtractionError: encrypted, damaged, or beyond the parser's own limits.
    """
    if media_type in _PAGED:
        return ExtractedText(*_pages(data, media_type), media_type.value)
    return ExtractedText(_clean(_parsed(data, media_type, _config()).content), None, media_type.value)


def load(data: bytes) -> None:
    """Start the parser on an empty document: its threads, their descriptors and, for PDF, pdfium are there then.

    kreuzberg writes pdfium to TMPDIR and opens it from there. That is a directory of this process alone, so that what
    is opened is what was written.
    """
    with contextlib.suppress(ExtractionError):
        if PDF_MAGIC in data[:PDF_PREAMBLE_BYTES]:
            _parsed(b"%PDF-", MediaType.PDF, _config())
        else:
            _parsed(b"{\\rtf1 }", MediaType.RTF, _config())


def _pages(data: bytes, media_type: MediaType) -> tuple[str, tuple[int, ...] | None]:
    """The offsets kreuzberg gives drift with every blank page and every slide; a marker it puts before each does not.

    The marker has a fresh random word, so that no document can forge one.
    """
    word = secrets.token_hex(12)
    result = _parsed(data, media_type, _config(marker=f"\n\n{word}p{{page_num}}\n\n"))
    before, *marked = re.split(rf"\s*{word}p(\d+)\n{{0,2}}", result.content)
    if marked and media_type is MediaType.PDF:
        marked[-1] = _without_repeated_tables(marked[-1], result)
    pages = {int(number): _clean(text).strip("\n") for number, text in zip(marked[::2], marked[1::2], strict=True)}
    text = [_clean(before).strip("\n")]
    length = len(text[0])
    starts: list[int] = []
    for number in range(1, max(pages, default=0) + 1):
        page = pages.get(number, "")
        separator = "\n\n" if length and page else ""
        text += (separator, page)
        # What stands before the first marker, if anything does, belongs to the first page.
        starts.append(length + len(separator) if starts else 0)
        length += len(separator) + len(page)
    return "".join(text), tuple(starts) or None


def _without_repeated_tables(last_page: str, result: ExtractionResult) -> str:
    """After the last page of a PDF kreuzberg repeats tables of all pages, their words out of order: cut there."""
    boundaries = (result.metadata.get("pages") or {}).get("boundaries")
    if not result.tables or not boundaries:
        return last_page
    size = boundaries[-1]["byte_end"] - boundaries[-1]["byte_start"]
    return last_page.encode()[:size].decode(errors="ignore")


def _config(marker: str = "") -> ExtractionConfig:
    # Imported here, as plain text never needs the parser's 80 MB library.
    from kreuzberg import ContentFilterConfig, ExtractionConfig, PageConfig  # noqa: PLC0415

    pages = PageConfig(extract_pages=False)
    if marker:
        pages = PageConfig(extract_pages=False, insert_page_markers=True, marker_format=marker)
    return ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="plain",
        pages=pages,
        # What repeats on every page is still text somebody may quote.
        content_filter=ContentFilterConfig(strip_repeating_text=False),
        disable_ocr=True,  # type: ignore[call-arg]  # missing from the stub only
    )


def _parsed(data: bytes, media_type: MediaType, config: ExtractionConfig) -> ExtractionResult:
    from kreuzberg import KreuzbergError, extract_bytes_sync  # noqa: PLC0415 - as in _config

    try:
        return extract_bytes_sync(data, media_type.value, config)
    except MemoryError:
        raise
    except (KreuzbergError, ValueError, OSError, RuntimeError) as failure:
        raise _translated(str(failure)) from failure


def _translated(reason: str) -> ExtractionError:
    reason = reason.lower()
    if "password" in reason or "encrypted" in reason:
        return ExtractionError(ErrorCode.PASSWORD_PROTECTED)
    if "limit exceeded" in reason:
        return ExtractionError(ErrorCode.TOO_LARGE)
    if "initialization failed" in reason:  # pdfium cannot be loaded: no room or no right in the temporary folder
        return ExtractionError(ErrorCode.EXTRACTION_CRASHED, retryable=True)
    return ExtractionError(ErrorCode.CORRUPT_FILE)


def _clean(text: str) -> str:
    return unix_newlines(text).replace("\x00", "")
