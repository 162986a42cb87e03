"""An answer as server-sent events: `meta`, `sources`, `citation` and `delta`, `usage` and `done`, or `error`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

from fastapi_ignite.http.event_stream import Events
from fastapi_ignite.query.schemas import (
    AskResult,
    CitationRead,
    SourceRead,
    StreamDelta,
    StreamMeta,
    StreamSources,
    StreamUsage,
)
from fastapi_ignite.rag.engine import Citation, Cited, FoundPassage, SourcesFound, Text

# the id and the name of the file that callers know each document by
Names = Mapping[UUID, tuple[UUID, str]]
EXAMPLE = """\
event: meta
id: 1
data: {"message_id":"7d7e3f2c-93a5-4b51-8f0d-6a4c1f0d8e21","conversation_id":"b9a6c1de-…","engine":"local"}

event: delta
id: 4
data: {"text":"The onboarding guide covers"}

"""


AnswerStream = AsyncGenerator[SourcesFound | Cited | Text | AskResult]


class AnswerWriter:
    """Writes one answer to its caller.

    The words of all `delta` events since the last `sources` are how the answer begins, and in the end the answer.
    """

    def __init__(self, events: Events, names: Callable[[Collection[UUID]], Awaitable[Names]]) -> None:
        self._events = events
        self._names = names
        self._begun = False
        self._text = ""
        self._cited: set[tuple[UUID, int, int]] = set()

    async def write(self, meta: StreamMeta, answer: AnswerStream) -> None:
        """Send the `meta` event, and then the events of the answer, until it is whole."""
        await self._events.emit("meta", meta)
        async with aclosing(answer):
            async for event in answer:
                match event:
                    case SourcesFound(passages):
                        await self._write_sources(passages)
                    case Cited(citation):
                        await self._write_proven(citation)
                    case Text(text):
                        await self._write_text(text)
                    case AskResult():
                        await self._finish(event)

    async def _write_sources(self, passages: Sequence[FoundPassage]) -> None:
        names = await self._names({passage.document_id for passage in passages}) if passages else {}
        await self._restart(
            [
                SourceRead.of(passage, *names[passage.document_id])
                for passage in passages
                if passage.document_id in names
            ]
        )

    async def _write_proven(self, citation: Citation) -> None:
        names = await self._names({citation.document_id})
        if citation.document_id in names:
            await self._write_citation(CitationRead.proven(citation, *names[citation.document_id]))

    async def _write_citation(self, citation: CitationRead) -> None:
        place = (citation.file_id, citation.char_start, citation.char_end)
        if place not in self._cited:
            self._cited.add(place)
            await self._events.emit("citation", citation)

    async def _write_text(self, text: str) -> None:
        self._text += text
        await self._events.emit("delta", StreamDelta(text=text))

    async def _finish(self, result: AskResult) -> None:
        """Send what is missing of the answer, and then the whole answer."""
        if not self._begun or not result.answer.startswith(self._text):
            await self._restart([])
        for citation in result.citations:
            await self._write_citation(citation)
        if rest := result.answer[len(self._text) :]:
            await self._write_text(rest)
        usage = StreamUsage(
            tokens_in=result.tokens_in, tokens_out=result.tokens_out, tokens_estimated=result.tokens_estimated
        )
        await self._events.emit("usage", usage)
        await self._events.emit("done", result)

    async def _restart(self, sources: list[SourceRead]) -> None:
        self._begun = True
        self._text = ""
        self._cited.clear()
        await self._events.emit("sources", StreamSources(sources=sources))
