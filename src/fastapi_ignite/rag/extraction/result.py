"""What an extraction is given and what it returns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text that is stored, counted, chunked and quoted; every offset elsewhere counts its code points.

    `text` holds no NUL and only newlines as line ends. `page_starts` has the offset at which each page (slide) begins,
    page 1 first; a page without text holds at most line ends. It is None where the format has no fixed pages.
    """

    text: str
    page_starts: tuple[int, ...] | None
    media_type: str


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """Bounds of one extraction.

    `memory_bytes` is address space, which a parser's thread stacks and mapped libraries use up too: below about 512 MB
    ordinary documents start to fail. `wall_seconds` is longer than `cpu_seconds` so that a busy machine does not fail a
    file which is merely waiting for its turn.
    """

    memory_bytes: int = 2 * 1024**3
    cpu_seconds: int = 60
    wall_seconds: float = 180
    max_characters: int = 20_000_000


def page_at(page_starts: Sequence[int] | None, offset: int) -> int | None:
    """The 1-based page which holds the code point at `offset`; None for a text without pages."""
    if not page_starts:
        return None
    return max(1, bisect_right(page_starts, offset))
