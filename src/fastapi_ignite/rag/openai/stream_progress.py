"""A listener hears of a response while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi_ignite.rag.answers.passage import Passage, Quote, present
from fastapi_ignite.rag.answers.verified_stream import VerifiedStream
from fastapi_ignite.rag.engine import AnswerListener
from fastapi_ignite.rag.openai.passage_lookup import ProjectTexts
from fastapi_ignite.rag.openai.response_parsing import Excerpt, Reading, quotes, read_beginning, read_sources
from fastapi_ignite.rag.openai.transcript import Part, Transcript

Sources = Sequence[tuple[str, Passage]]


class StreamProgress:
    """To one transcript, for one listener."""

    def __init__(self, transcript: Transcript, texts: ProjectTexts, listener: AnswerListener) -> None:
        self._transcript = transcript
        self._texts = texts
        self._listener = listener
        self._stream = VerifiedStream(listener, self._prove)
        self._excerpts: Sequence[Excerpt] | None = None
        self._sources: Sources = ()
        self._citations = 0

    async def look(self) -> None:
        """Tell what came since the last look. The model may search again and again before it speaks."""
        excerpts = read_sources(self._transcript)
        if excerpts and excerpts != self._excerpts:
            await self.found(excerpts)
            return
        if self._excerpts is None or self._transcript.citations == self._citations:
            return
        self._citations = self._transcript.citations
        text, found = await asyncio.to_thread(_begun, self._transcript.parts, self._sources)
        await self._stream.tell(text, found)

    async def found(self, excerpts: Sequence[Excerpt]) -> Sources:
        """Where all that was found so far stands; the listener is told before the first word."""
        if excerpts != self._excerpts:
            self._excerpts = excerpts
            self._sources = await self._texts.sources(excerpts)
            if not self._stream.begun:
                await self._listener.found(present([passage for _, passage in self._sources]))
        return self._sources

    async def _prove(self, fresh: Sequence[Quote]) -> tuple[list[Quote], bool]:
        return await self._texts.prove(self._excerpts or (), fresh)


def _begun(parts: Sequence[Part], sources: Sources) -> tuple[str, list[Quote]]:
    reading: Reading = read_beginning(parts, {file_id for file_id, _ in sources})
    return reading.text, quotes(reading, sources)
