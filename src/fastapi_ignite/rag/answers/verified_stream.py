"""An answer told while a model writes it: nothing before its proof, nothing of what may not be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from fastapi_ignite.rag.answers.passage import Quote, cite
from fastapi_ignite.rag.engine import AnswerListener

LOOK_SECONDS = 0.1
Prove = Callable[[Sequence[Quote]], Awaitable[tuple[Sequence[Quote], bool]]]


class VerifiedStream:
    """Of one answer. `prove` returns the quotes that are true, and whether all that was read may still be read."""

    def __init__(self, listener: AnswerListener, prove: Prove) -> None:
        self._listener = listener
        self._prove = prove
        self._known: set[tuple[UUID, int, int]] = set()
        self._proven = False
        self._silenced = False
        self._said = ""

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self._said)

    async def tell(self, text: str, quotes: Sequence[Quote]) -> None:
        """The answer as far as its quotes bear it out, from its beginning; `text` only ever gets longer."""
        if self._silenced or text == self._said or not text.startswith(self._said):
            return
        fresh = [quote for quote in quotes if _place(quote) not in self._known]
        proven, may_be_read = await self._prove(fresh)
        if not may_be_read:
            self._silenced = True
            return
        self._known.update(map(_place, fresh))
        self._proven = self._proven or bool(proven)
        if not self._proven:
            return
        for citation in cite(proven):
            await self._listener.cited(citation)
        words, self._said = text[len(self._said) :], text
        await self._listener.said(words)


def _place(quote: Quote) -> tuple[UUID, int, int]:
    return quote.document_id, quote.char_start, quote.char_end
