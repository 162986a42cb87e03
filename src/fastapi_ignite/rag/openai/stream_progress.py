"""Turns a response that is still coming into events of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi_ignite.rag.answers.passage import Passage, Quote, present
from fastapi_ignite.rag.answers.verified_stream import VerifiedStream
from fastapi_ignite.rag.engine import AnswerEvent, SourcesFound
from fastapi_ignite.rag.llm.streamed_answer import Part, StreamedAnswer
from fastapi_ignite.rag.openai.passage_lookup import ProjectTexts
from fastapi_ignite.rag.openai.response_parsing import Excerpt, quotes, read_beginning, read_sources

Sources = Sequence[tuple[str, Passage]]


class StreamProgress:
    """Reads one answer while it is streamed. `sources` are the passages it was read from, as far as is known."""

    def __init__(self, answer: StreamedAnswer, texts: ProjectTexts) -> None:
        self.sources: Sources = ()
        self._answer = answer
        self._texts = texts
        self._verified = VerifiedStream(self._prove)
        self._excerpts: Sequence[Excerpt] | None = None
        self._citation_count = 0

    async def read(self) -> Sequence[AnswerEvent]:
        """Return the events for all that has come since the last call: the sources and cited words may come at once.

        The model may search several times.
        """
        excerpts = read_sources(self._answer)
        events = [*(await self.locate(excerpts) if excerpts else ())]
        if self._excerpts is None or self._answer.citation_count == self._citation_count:
            return events
        self._citation_count = self._answer.citation_count
        text, found = await asyncio.to_thread(_read_beginning, self._answer.parts, self.sources)
        return [*events, *await self._verified.advance(text, found)]

    async def locate(self, excerpts: Sequence[Excerpt]) -> Sequence[AnswerEvent]:
        """Find all excerpts in our documents. The event for them is left out once a word of the answer has left."""
        if excerpts == self._excerpts:
            return ()
        self._excerpts = excerpts
        self.sources = await self._texts.sources(excerpts)
        if self._verified.has_begun:
            return ()
        return (SourcesFound(present([passage for _, passage in self.sources])),)

    async def _prove(self, fresh: Sequence[Quote]) -> tuple[list[Quote], bool]:
        return await self._texts.prove(self._excerpts or (), fresh)


def _read_beginning(parts: Sequence[Part], sources: Sources) -> tuple[str, list[Quote]]:
    reading = read_beginning(parts, {file_id for file_id, _ in sources})
    return reading.text, quotes(reading, sources)
