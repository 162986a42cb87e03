"""Defines the limits and the result of an extraction."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from fastapi_ignite.rag.extraction.errors import TOO_MANY_SCANNED_PAGES, ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.structure import Span


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text that is stored, counted, chunked and quoted; every offset elsewhere counts its code points.

    `text` holds no NUL and only newlines as line ends. `page_starts` has the offset at which each page (slide) begins,
    page 1 first; a page without text holds at most line ends. It is None where the format has no fixed pages. `spans`
    say which stretches are headings, list items, tables and code, in the order of their starts. `scanned_pages` is how
    many pages are pictures whose text was not recognised.
    """

    text: str
    page_starts: tuple[int, ...] | None
    media_type: str
    spans: tuple[Span, ...] = ()
    scanned_pages: int = 0


# The slowest honest files take two seconds of a slow processor a megabyte, and most a tenth of that.
_BASE_CPU_SECONDS = 15
_CPU_SECONDS_A_MEGABYTE = 3
_MOST_CPU_SECONDS = 120
# A busy machine lets a child wait: so long, and for as long again as four times its work.
_WAIT_SECONDS = 120
_WALL_FOR_CPU = 4
# Recognising a page takes 1 to 7 seconds, and its models need more memory.
_MOST_SCANNED_PAGES = 100
_RECOGNITION_BYTES = 3 * 1024**3
_RECOGNITION_CPU_SECONDS = 20
_CPU_SECONDS_A_SCANNED_PAGE = 8
_MOST_RECOGNITION_CPU_SECONDS = 600
_WALL_FOR_RECOGNITION = 2


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """Bounds of one extraction.

    `memory_bytes` is address space, which a parser's thread stacks and mapped libraries use up too: below about 512 MB
    ordinary documents start to fail. `wall_seconds` is longer than `cpu_seconds` so that a busy machine does not fail a
    file which is merely waiting for its turn. `recognises` says whether the text of scanned pages is recognised.
    `unreadable` are the numbers of attached files whose parser ended the process before, with the codes of how it did.
    """

    memory_bytes: int = 2 * 1024**3
    cpu_seconds: int = _MOST_CPU_SECONDS
    wall_seconds: float = _WAIT_SECONDS + _WALL_FOR_CPU * _MOST_CPU_SECONDS
    max_characters: int = 20_000_000
    recognises: bool = False
    unreadable: tuple[tuple[int, str], ...] = ()

    @classmethod
    def for_size(cls, byte_count: int) -> Self:
        """The bounds for a file of so many bytes: a small file that runs for minutes is hostile, not large."""
        seconds = min(_BASE_CPU_SECONDS + _CPU_SECONDS_A_MEGABYTE * byte_count // 10**6, _MOST_CPU_SECONDS)
        return cls(cpu_seconds=seconds, wall_seconds=_WAIT_SECONDS + _WALL_FOR_CPU * seconds)

    def for_recognition(self, scanned_pages: int) -> Self:
        """The bounds for the same file when the text of its scanned pages is recognised.

        Raises:
            ExtractionError: there are too many of them.
        """
        if scanned_pages > _MOST_SCANNED_PAGES:
            raise ExtractionError(ErrorCode.TOO_LARGE, TOO_MANY_SCANNED_PAGES)
        seconds = _RECOGNITION_CPU_SECONDS + _CPU_SECONDS_A_SCANNED_PAGE * scanned_pages
        seconds = max(self.cpu_seconds, min(seconds, _MOST_RECOGNITION_CPU_SECONDS))
        return replace(
            self,
            memory_bytes=max(self.memory_bytes, _RECOGNITION_BYTES),
            cpu_seconds=seconds,
            wall_seconds=_WAIT_SECONDS + _WALL_FOR_RECOGNITION * seconds,
            recognises=True,
        )


def page_at(page_starts: Sequence[int] | None, offset: int) -> int | None:
    """The 1-based page which holds the code point at `offset`; None for a text without pages."""
    if not page_starts:
        return None
    return max(1, bisect_right(page_starts, offset))
