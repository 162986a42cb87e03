"""An answer told while a model writes it: nothing before its first proven quote, nothing of what may not be read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from fastapi_ignite.rag.engine import AnswerListener
from fastapi_ignite.rag.local.answering import Quote, cite

LOOK_SECONDS = 0.1
# how long words may flow without a look at whether the documents they are read from are still there
TRUST_SECONDS = 1.0
Prove = Callable[[Sequence[Quote]], Awaitable[tuple[Sequence[Quote], bool]]]


class Telling:
    """Of one answer. `prove` returns the quotes that are true, and whether all that was read may still be read."""

    def __init__(self, listener: AnswerListener, prove: Prove) -> None:
        self._listener = listener
        self._prove = prove
        self._looked: set[tuple[UUID, int, int]] = set()
        self._proven = False
        self._silenced = False
        self._proven_at = time.monotonic()
        self._said = ""

    async def tell(self, text: str, quotes: Sequence[Quote]) -> None:
        """What is new in an answer as far as it is written; its text only ever gets longer."""
        fresh = [quote for quote in quotes if _place(quote) not in self._looked]
        waits = self._proven and text != self._said
        if fresh or (waits and time.monotonic() - self._proven_at > TRUST_SECONDS):
            await self._look(fresh)
        if self._silenced or not self._proven or not text.startswith(self._said) or text == self._said:
            return
        words, self._said = text[len(self._said) :], text
        await self._listener.said(words)

    async def _look(self, fresh: Sequence[Quote]) -> None:
        self._looked.update(map(_place, fresh))
        proven, may_be_read = await self._prove(fresh)
        self._proven_at = time.monotonic()
        if not may_be_read:
            self._silenced = True
            return
        self._proven = self._proven or bool(proven)
        for citation in cite(proven):
            await self._listener.cited(citation)


def _place(quote: Quote) -> tuple[UUID, int, int]:
    return quote.document_id, quote.char_start, quote.char_end
