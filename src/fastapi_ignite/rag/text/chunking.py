"""Cuts a text into passages that are searched, embedded and quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from semantic_text_splitter import TextSplitter

from fastapi_ignite.rag.extraction.result import page_at

# 900 characters of prose are about 200 tokens: a passage stays within the 256 the embedding model reads.
_CAPACITY: Final = (600, 900)
# A sentence or so: what straddles a cut is found whole in one of two passages, for an eighth more of them.
_OVERLAP: Final = 100
# The splitter takes time quadratic in a stretch without any break, so it gets the text in blocks.
_BLOCK: Final = 24_000
_BLOCK_BREAKS: Final = ("\n\n", "\n", ". ", " ")
# No passage reaches over so many blanks, in which the splitter takes seconds to find that out.
_GAP: Final = re.compile(rf"(?<!\s)\s{{{_CAPACITY[1]},}}")


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A passage, which is `[char_start:char_end]` of the document in code points. `page` is where it begins."""

    ordinal: int
    char_start: int
    char_end: int
    page: int | None
    text: str


def chunk_text(text: str, page_starts: tuple[int, ...] | None) -> list[TextChunk]:
    """Return passages of at most 900 characters, in order. Together they hold all of the text but blanks."""
    splitter = TextSplitter(_CAPACITY, overlap=_OVERLAP)
    passages = (
        (start + offset, passage)
        for start, block in _blocks(text)
        for offset, passage in splitter.chunk_indices(block)
        if passage.strip()  # the splitter takes ASCII's separator characters for text
    )
    return [
        TextChunk(ordinal, start, start + len(passage), page_at(page_starts, start), passage)
        for ordinal, (start, passage) in enumerate(passages)
    ]


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield blocks of bounded length that end where a paragraph does, or else a line, a sentence, a word."""
    for start, end in _stretches(text):
        block = start
        while end - block > _BLOCK:
            cut = _block_end(text, block)
            yield block, text[block:cut]
            block = cut
        yield block, text[block:end]


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for gap in _GAP.finditer(text):
        yield start, gap.start()
        start = gap.end()
    yield start, len(text)


def _block_end(text: str, start: int) -> int:
    for mark in _BLOCK_BREAKS:
        found = text.rfind(mark, start + _BLOCK // 2, start + _BLOCK)
        if found >= 0:
            return found + len(mark)
    return start + _BLOCK
