"""An answer as server-sent events: `meta`, `sources`, `citation` and `delta`, `usage` and `done`, or `error`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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
from fastapi_ignite.rag.engine import Citation, FoundPassage

# of each document, the file that callers know it by, and its name
Names = Mapping[UUID, tuple[UUID, str]]
EXAMPLE = """\
event: meta
id: 1
data: {"message_id":"7d7e3f2c-93a5-4b51-8f0d-6a4c1f0d8e21","conversation_id":"b9a6c1de-…","engine":"local"}

event: delta
id: 4
data: {"text":"The onboarding guide covers"}

"""


class AnswerEvents:
    """The words of all `delta`s since the last `sources` are how the answer begins, and in the end the answer."""

    def __init__(self, events: Events, names: Callable[[Collection[UUID]], Awaitable[Names]]) -> None:
        self._events = events
        self._names = names
        self._begun = False
        self._said = ""
        self._cited: set[tuple[UUID, int, int]] = set()

    async def begin(self, *, message_id: UUID, conversation_id: UUID, engine: str) -> None:
        """Before anything else."""
        meta = StreamMeta(message_id=message_id, conversation_id=conversation_id, engine=engine)
        await self._events.emit("meta", meta)

    async def found(self, passages: Sequence[FoundPassage]) -> None:
        names = await self._names({passage.document_id for passage in passages}) if passages else {}
        await self._restart(
            [
                SourceRead.of(passage, *names[passage.document_id])
                for passage in passages
                if passage.document_id in names
            ]
        )

    async def cited(self, citation: Citation) -> None:
        names = await self._names({citation.document_id})
        if citation.document_id in names:
            await self._cite(CitationRead.proven(citation, *names[citation.document_id]))

    async def said(self, text: str) -> None:
        self._said += text
        await self._events.emit("delta", StreamDelta(text=text))

    async def finish(self, result: AskResult) -> None:
        """What was not told yet, and the whole answer once more."""
        if not self._begun or not result.answer.startswith(self._said):
            await self._restart([])
        for citation in result.citations:
            await self._cite(citation)
        if rest := result.answer[len(self._said) :]:
            await self.said(rest)
        usage = StreamUsage(
            tokens_in=result.tokens_in, tokens_out=result.tokens_out, tokens_estimated=result.tokens_estimated
        )
        await self._events.emit("usage", usage)
        await self._events.emit("done", result)

    async def _restart(self, sources: list[SourceRead]) -> None:
        self._begun = True
        self._said = ""
        self._cited.clear()
        await self._events.emit("sources", StreamSources(sources=sources))

    async def _cite(self, citation: CitationRead) -> None:
        place = (citation.file_id, citation.char_start, citation.char_end)
        if place not in self._cited:
            self._cited.add(place)
            await self._events.emit("citation", citation)
