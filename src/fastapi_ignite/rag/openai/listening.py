"""A listener hears of a response while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi_ignite.rag.engine import AnswerListener
from fastapi_ignite.rag.local.answering import Passage, Quote, present
from fastapi_ignite.rag.openai.citing import Excerpt, quotes, read_beginning, read_sources
from fastapi_ignite.rag.openai.locating import ProjectTexts
from fastapi_ignite.rag.openai.transcript import Transcript
from fastapi_ignite.rag.telling import Telling


class Listening:
    """To one transcript, for one listener."""

    def __init__(self, transcript: Transcript, texts: ProjectTexts, listener: AnswerListener) -> None:
        self._transcript = transcript
        self._texts = texts
        self._listener = listener
        self._telling = Telling(listener, self._prove)
        self._excerpts: Sequence[Excerpt] = ()
        self._sources: Sequence[tuple[str, Passage]] | None = None
        self._citations = 0

    async def look(self) -> None:
        """Tell what came since the last look."""
        if self._sources is None:
            if excerpts := read_sources(self._transcript):
                await self.found(excerpts)
            return
        if self._transcript.citations == self._citations:
            return
        self._citations = self._transcript.citations
        reading = read_beginning(self._transcript, {file_id for file_id, _ in self._sources})
        await self._telling.tell(reading.text, await asyncio.to_thread(quotes, reading, self._sources))

    async def found(self, excerpts: Sequence[Excerpt]) -> Sequence[tuple[str, Passage]]:
        """Where they stand, as the listener is told once."""
        if self._sources is None:
            self._excerpts = excerpts
            self._sources = await self._texts.sources(excerpts)
            await self._listener.found(present([passage for _, passage in self._sources]))
        return self._sources

    async def _prove(self, fresh: Sequence[Quote]) -> tuple[list[Quote], bool]:
        return await self._texts.prove(self._excerpts, fresh)
