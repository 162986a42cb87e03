"""Reads what a response says and cites, what a search found, and which sentences of our documents support it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types import VectorStoreSearchResponse
from openai.types.responses import (
    Response,
    ResponseFileSearchToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
)
from openai.types.responses.response_output_text import AnnotationFileCitation

from fastapi_ignite.rag.answers.alignment import Statement, align
from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.errors import ProviderError
from fastapi_ignite.rag.llm.failures import failure_of
from fastapi_ignite.rag.llm.streamed_answer import Part, StreamedAnswer
from fastapi_ignite.rag.text.sentences import split_sentences
from fastapi_ignite.rag.text.storable_text import storable

LONGEST_EXCERPT = 20_000
_LONGEST_MARKER = 202
# how far back the sentence before a citation may begin
_REACH = 1000
_MARKER = re.compile(r"\u3010[^\u3010\u3011]{0,200}\u3011")
# a half of a character, and what `storable` takes from between halves
_SURROGATES = "".join(map(chr, (0, *range(0xD800, 0xE000))))
# a file's id, words of it, and their score, as the provider sent them
_Result = tuple[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of a file that file search gave the model to read, or that a search found."""

    file_id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A response, taken apart. When it is `refused`, `text` is the refusal alone, whatever else stands in it."""

    text: str
    refused: bool
    statements: tuple[Statement, ...]
    excerpts: tuple[Excerpt, ...]


def whole_response(answer: StreamedAnswer) -> Response:
    """Return the whole response, which is `completed`, or `incomplete` where it was cut at its longest.

    Raises:
        ProviderError: the answer ended in another way; HTTP 200 is no answer yet.
    """
    response = answer.response
    if response is None:
        raise ProviderError("The provider's answer ended in its middle; nothing was charged.")
    reason = response.incomplete_details.reason if response.incomplete_details else None
    if reason == "content_filter":
        raise failure_of(reason)
    if response.status not in {"completed", "incomplete"}:
        raise failure_of(response.error.code if response.error else None)
    return response


def read(response: Response) -> Reading:
    """Return the answer without the marks that some models leave in it, and what it cites, by statement."""
    parts: list[Part] = []
    results: list[_Result] = []
    for item in response.output or ():
        if isinstance(item, ResponseOutputMessage):
            parts += map(_part, item.content)
        elif isinstance(item, ResponseFileSearchToolCall):
            results += [(result.file_id, result.text, result.score) for result in item.results or ()]
    refusals = [part for part in parts if part.refusal]
    text = storable(_MARKER.sub("", _joined(refusals or parts))).strip()
    statements = [] if refusals else [each for part in parts for each in (_cited(part) or _sentences(part))]
    return Reading(text, bool(refusals), tuple(statements), tuple(_excerpts(results)))


def read_results(results: Sequence[VectorStoreSearchResponse]) -> list[Excerpt]:
    """Return what a search found, in its order; each part of a result is an excerpt of its own."""
    return list(_excerpts([(each.file_id, part.text, each.score) for each in results for part in each.content or ()]))


def read_sources(answer: StreamedAnswer) -> tuple[Excerpt, ...]:
    """Return what file search has given the model to read so far."""
    results = [(each.get("file_id"), each.get("text"), each.get("score")) for each in answer.search_results]
    return tuple(_excerpts(results))


def read_beginning(parts: Sequence[Part], known: Collection[str]) -> Reading:
    """Read a response that is still being written: what it cites of known files, and the text up to the last citation.

    Whatever comes, unless it is a refusal, the text of the whole response will begin with that text.
    """
    text = ""
    statements: list[Statement] = []
    for number, part in enumerate(parts):
        length = len(part.text)
        supported = [(index, file_id) for index, file_id in part.citations if file_id in known and 0 < index <= length]
        if part.refusal or not supported:
            continue
        statements += _cited(Part(part.pieces, supported))
        text = _joined([*parts[:number], Part([part.text[: max(index for index, _ in supported)]])])
    opened = text.rfind("\u3010", max(0, len(text) - _LONGEST_MARKER))
    if opened >= 0 and "\u3011" not in text[opened:]:
        text = text[:opened]
    text = storable(_MARKER.sub("", text).rstrip(_SURROGATES)).strip()
    return Reading(text, any(part.refusal for part in parts), tuple(statements), ())


def _joined(parts: Sequence[Part]) -> str:
    return "\n\n".join(part.text for part in parts if part.text)


def _part(content: ResponseOutputText | ResponseOutputRefusal) -> Part:
    if isinstance(content, ResponseOutputRefusal):
        return Part([content.refusal], refusal=True)
    cited = [note for note in content.annotations if isinstance(note, AnnotationFileCitation)]
    return Part([content.text], [(note.index or 0, note.file_id) for note in cited])


def _cited(part: Part) -> list[Statement]:
    """Return the sentence before each citation; a citation at no place of the text stands for the whole text."""
    text = part.text
    statements = []
    for index, file_id in part.citations:
        before = (text[:index] if 0 < index <= len(text) else text)[-_REACH:]
        sentences = split_sentences(before)
        statements.append(Statement(before[sentences[-1].start : sentences[-1].end] if sentences else before, file_id))
    return statements


def _sentences(part: Part) -> list[Statement]:
    text = part.text
    return [Statement(text[sentence.start : sentence.end], None) for sentence in split_sentences(text)]


def _excerpts(results: Sequence[_Result]) -> Iterator[Excerpt]:
    for file_id, text, score in results:
        words = storable(text or "").strip()[:LONGEST_EXCERPT]
        if file_id and words:
            yield Excerpt(file_id, words, min(max(score or 0.0, 0.0), 1.0))


def split_excerpts(excerpts: Sequence[Excerpt]) -> list[Excerpt]:
    """Return the sentences of excerpts, which may be found where the provider joined or spaced them in its own way."""
    return [
        Excerpt(excerpt.file_id, excerpt.text[sentence.start : sentence.end], excerpt.score)
        for excerpt in excerpts
        for sentence in split_sentences(excerpt.text)
    ]


def quotes(reading: Reading, passages: Sequence[tuple[str, Passage]]) -> list[Quote]:
    """Return for each statement the sentence of its sources that fits it best, or one of the source it names."""
    return align(reading.statements, passages, trust_named_source=True)
