"""A listener hears of a response while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fastapi_ignite.rag.engine import AnswerListener
from fastapi_ignite.rag.local.answering import Passage, Quote
from fastapi_ignite.rag.openai.citing import Excerpt, quotes, read_beginning, read_results
from fastapi_ignite.rag.openai.transcript import Transcript
from fastapi_ignite.rag.telling import Telling

# where excerpts stand in our documents, with the provider's ids of their files
Located = Sequence[tuple[str, Passage]]
Prove = Callable[[Sequence[Excerpt], Sequence[Quote]], Awaitable[tuple[Sequence[Quote], bool]]]


class Listening:
    """To one transcript. `locate` finds where excerpts stand; `prove` also tells whether their files may be read."""

    def __init__(
        self,
        transcript: Transcript,
        listener: AnswerListener,
        *,
        locate: Callable[[Sequence[Excerpt]], Awaitable[Located]],
        prove: Prove,
    ) -> None:
        self._transcript = transcript
        self._listener = listener
        self._locate = locate
        self._telling = Telling(listener, self._prove)
        self._prove_excerpts = prove
        self._excerpts: Sequence[Excerpt] = ()
        self._located: Located | None = None
        self._citations = 0

    async def look(self) -> None:
        """Tell what came since the last look."""
        if self._located is None:
            if excerpts := read_results(self._transcript):
                await self.found(excerpts)
            return
        if self._transcript.citations == self._citations:
            return
        self._citations = self._transcript.citations
        reading = read_beginning(self._transcript, {file_id for file_id, _ in self._located})
        if not reading.refused:
            await self._telling.tell(reading.text, await asyncio.to_thread(quotes, reading, self._located))

    async def found(self, excerpts: Sequence[Excerpt]) -> None:
        """Tell what the answer is read from; once."""
        if self._located is not None:
            return
        self._excerpts = excerpts
        self._located = await self._locate(excerpts)
        await self._listener.found([passage.found() for _, passage in self._located])

    async def _prove(self, fresh: Sequence[Quote]) -> tuple[Sequence[Quote], bool]:
        return await self._prove_excerpts(self._excerpts, fresh)
