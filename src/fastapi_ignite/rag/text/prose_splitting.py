"""Cuts prose into stretches of bounded length, at its paragraphs, lines and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from semantic_text_splitter import TextSplitter

# 900 characters of prose are about 200 tokens: a passage stays within the 256 the embedding model reads.
SHORTEST_FULL: Final = 600
CAPACITY: Final = 900
# A sentence or so: what straddles a cut is found whole in one of two passages, for an eighth more of them.
OVERLAP: Final = 100
# The splitter takes time quadratic in a stretch without any break, so it gets the text in blocks.
_BLOCK: Final = 24_000
_BLOCK_BREAKS: Final = ("\n\n", "\n", ". ", " ")
# No passage reaches over so many blanks, in which the splitter takes seconds to find that out.
_GAP: Final = re.compile(rf"(?<!\s)\s{{{CAPACITY},}}")


def split_prose(text: str, start: int, end: int, *, reserved: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the offsets of stretches of at most `900 - reserved` characters that overlap by a sentence, in order.

    `reserved` is the length of what is to stand before the first of them, at most 450.
    """
    splitter = TextSplitter((SHORTEST_FULL - reserved, CAPACITY - reserved), overlap=OVERLAP)
    for block_start, block in _blocks(text, start, end):
        for offset, passage in splitter.chunk_indices(block):
            if passage.strip():  # the splitter takes ASCII's separator characters for text
                yield block_start + offset, block_start + offset + len(passage)


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Yield blocks of bounded length that end where a paragraph does, or else a line, a sentence, a word."""
    for stretch_start, stretch_end in _stretches(text, start, end):
        block = stretch_start
        while stretch_end - block > _BLOCK:
            cut = _block_end(text, block)
            yield block, text[block:cut]
            block = cut
        yield block, text[block:stretch_end]


def _stretches(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for gap in _GAP.finditer(text, start, end):
        yield start, gap.start()
        start = gap.end()
    yield start, end


def _block_end(text: str, start: int) -> int:
    for mark in _BLOCK_BREAKS:
        found = text.rfind(mark, start + _BLOCK // 2, start + _BLOCK)
        if found >= 0:
            return found + len(mark)
    return start + _BLOCK
