"""An answer as server-sent events: `meta`, `sources`, `citation` and `delta`, `usage` and `done`, or `error`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel

from fastapi_ignite.query.client_disconnect import CallerLeft
from fastapi_ignite.query.schemas import (
    AskResult,
    CitationRead,
    SourceRead,
    StreamDelta,
    StreamMeta,
    StreamSources,
    StreamUsage,
)
from fastapi_ignite.rag.engine import Cited, SourcesFound, Text

# the id and the name of the file that callers know each document by
Names = Mapping[UUID, tuple[UUID, str, int]]
EXAMPLE = """\
event: meta
id: 1
data: {"message_id":"7d7e3f2c-93a5-4b51-8f0d-6a4c1f0d8e21","conversation_id":"b9a6c1de-…","engine":"local"}

event: delta
id: 4
data: {"text":"The onboarding guide covers"}

"""


class StreamEvent(NamedTuple):
    """One event, as its name and its data."""

    name: str
    data: BaseModel


# The events of an answer. The work begins with the first one, and stops when the caller has left.
AnswerStream = Callable[[CallerLeft], AsyncGenerator[StreamEvent]]


async def answer_events(
    meta: StreamMeta,
    answer: AsyncGenerator[SourcesFound | Cited | Text | AskResult],
    names: Callable[[Collection[UUID]], Awaitable[Names]],
) -> AsyncGenerator[StreamEvent]:
    """Yield the `meta` event, and then the events of the answer, until it is whole. It closes `answer`."""
    told = _ToldAnswer()
    async with aclosing(answer):
        yield StreamEvent("meta", meta)
        async for part in answer:
            for event in await _events_of(part, told, names):
                yield event


async def _events_of(
    part: SourcesFound | Cited | Text | AskResult,
    told: _ToldAnswer,
    names: Callable[[Collection[UUID]], Awaitable[Names]],
) -> Iterator[StreamEvent]:
    match part:
        case SourcesFound(passages):
            known = await names({passage.document_id for passage in passages}) if passages else {}
            found = [passage for passage in passages if passage.document_id in known]
            return told.restart([SourceRead.of(passage, *known[passage.document_id]) for passage in found])
        case Cited(citation):
            known = await names({citation.document_id})
            return told.cite([CitationRead.proven(citation, *file) for file in known.values()])
        case Text(text):
            return told.say(text)
        case AskResult():
            return told.finish(part)


class _ToldAnswer:
    """Remembers what the caller was told of an answer so far. Its methods yield the events that tell more.

    The words of all `delta` events since the last `sources` are how the answer begins, and in the end the answer.
    """

    def __init__(self) -> None:
        self._begun = False
        self._text = ""
        self._cited: set[tuple[UUID, int, int]] = set()

    def restart(self, sources: list[SourceRead]) -> Iterator[StreamEvent]:
        self._begun = True
        self._text = ""
        self._cited.clear()
        yield StreamEvent("sources", StreamSources(sources=sources))

    def cite(self, citations: Sequence[CitationRead]) -> Iterator[StreamEvent]:
        for citation in citations:
            place = (citation.file_id, citation.char_start, citation.char_end)
            if place not in self._cited:
                self._cited.add(place)
                yield StreamEvent("citation", citation)

    def say(self, text: str) -> Iterator[StreamEvent]:
        self._text += text
        yield StreamEvent("delta", StreamDelta(text=text))

    def finish(self, result: AskResult) -> Iterator[StreamEvent]:
        """Yield what is missing of the answer, and then the whole answer."""
        if not self._begun or not result.answer.startswith(self._text):
            yield from self.restart([])
        yield from self.cite(result.citations)
        if rest := result.answer[len(self._text) :]:
            yield from self.say(rest)
        usage = StreamUsage(
            tokens_in=result.tokens_in, tokens_out=result.tokens_out, tokens_estimated=result.tokens_estimated
        )
        yield StreamEvent("usage", usage)
        yield StreamEvent("done", result)
