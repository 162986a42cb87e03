"""What a response says and cites, and the sentences of our own documents that bear it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openai.types.responses import (
    Response,
    ResponseFileSearchToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
)
from openai.types.responses.response_output_text import AnnotationFileCitation

from fastapi_ignite.rag.aligning import Statement, align
from fastapi_ignite.rag.local.answering import Passage, Quote
from fastapi_ignite.rag.local.sentences import split_sentences

LONGEST_EXCERPT = 20_000
_MARKER = re.compile(r"\u3010[^\u3010\u3011]{0,200}\u3011")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What file search gave the model to read."""

    file_id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A response, taken apart."""

    text: str
    refused: bool
    statements: tuple[Statement, ...]
    excerpts: tuple[Excerpt, ...]


def read(response: Response) -> Reading:
    """The answer without the marks some models leave in it; what they cite, by statement."""
    parts: list[str] = []
    statements: list[Statement] = []
    refused = False
    for item in response.output:
        for content in item.content if isinstance(item, ResponseOutputMessage) else ():
            if isinstance(content, ResponseOutputRefusal):
                refused = True
                parts.append(content.refusal)
            else:
                parts.append(content.text)
                statements += _statements(content)
    return Reading(
        text=_MARKER.sub("", "\n\n".join(parts)).replace("\x00", "").strip(),
        refused=refused,
        statements=tuple(statements),
        excerpts=tuple(_excerpts(response)),
    )


def _statements(content: ResponseOutputText) -> Iterator[Statement]:
    """An annotation's `index` is where the cited words end; one that is nowhere stands for all of the answer."""
    cited = [note for note in content.annotations if isinstance(note, AnnotationFileCitation)]
    if not cited:
        for sentence in split_sentences(content.text):
            yield Statement(content.text[sentence.start : sentence.end], None)
        return
    for note in cited:
        before = content.text[: note.index] if 0 < note.index <= len(content.text) else content.text
        sentences = split_sentences(before)
        yield Statement(before[sentences[-1].start : sentences[-1].end] if sentences else before, note.file_id)


def _excerpts(response: Response) -> Iterator[Excerpt]:
    for item in response.output:
        for result in (item.results or ()) if isinstance(item, ResponseFileSearchToolCall) else ():
            words = (result.text or "").replace("\x00", "").strip()[:LONGEST_EXCERPT]
            if result.file_id and words:
                yield Excerpt(result.file_id, words, min(max(result.score or 0.0, 0.0), 1.0))


def in_sentences(excerpts: Sequence[Excerpt]) -> list[Excerpt]:
    """For excerpts that the provider joined or spaced in its own way: their sentences may still be found."""
    return [
        Excerpt(excerpt.file_id, excerpt.text[sentence.start : sentence.end], excerpt.score)
        for excerpt in excerpts
        for sentence in split_sentences(excerpt.text)
    ]


def quotes(reading: Reading, passages: Sequence[tuple[str, Passage]]) -> list[Quote]:
    """For each statement the sentence of its sources that says most of it; else of the source it names, if any."""
    return align(reading.statements, passages, trusting_names=True)
