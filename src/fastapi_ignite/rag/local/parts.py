"""Groups the chunks of a document into parts, whose words are counted together.

A document of one page is one part, and a long one has many. An answer may stand in two neighbouring chunks: each holds
some of the words of the question, and only the part holds all of them (docs/adr/0044).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi_ignite.rag.extraction.structure import Span, SpanKind
from fastapi_ignite.rag.local.index_rows import indexed_text
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.chunking import TextChunk
from fastapi_ignite.rag.text.titles import title_of

PART_CHUNKS = 8
# A heading says what its text is about. This is added to the count of each of its words, so that it counts three times.
# Values from 1 to 3 gave much the same results.
_HEADING_WEIGHT = 2


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring chunks of a document, from the one with ordinal `first` on, and how often they hold each term."""

    first: int
    chunks: Sequence[Counter[str]]
    frequencies: Counter[str]


def parts_of(text: str, spans: Sequence[Span], chunks: Sequence[TextChunk]) -> Iterator[Part]:
    """Yield the parts of a document in order. `chunks` are all of its chunks, and `spans` those of its text."""
    headings = [(span.start, text[span.start : span.end]) for span in spans if span.kind is SpanKind.HEADING]
    if not spans:
        headings = [(0, title_of(text))]
    position = 0
    for first in range(0, len(chunks), PART_CHUNKS):
        group = chunks[first : first + PART_CHUNKS]
        own = [Counter(analyze(chunk.text)) for chunk in group]
        together = Counter(analyze(group[0].context))
        for each in own:
            together.update(each)
        while position < len(headings) and headings[position][0] < group[-1].char_end:
            for term in analyze(headings[position][1]):
                together[term] += _HEADING_WEIGHT
            position += 1
        yield Part(first, [_with_context(chunk, terms) for chunk, terms in zip(group, own, strict=True)], together)


def _with_context(chunk: TextChunk, terms: Counter[str]) -> Counter[str]:
    return Counter(analyze(indexed_text(chunk.context, chunk.text))) if chunk.context else terms
