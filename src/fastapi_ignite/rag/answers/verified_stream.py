"""Decides how much of an answer may leave while a model writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from fastapi_ignite.rag.answers.passage import Quote, cite
from fastapi_ignite.rag.engine import Cited, Text

Prove = Callable[[Sequence[Quote]], Awaitable[tuple[Sequence[Quote], bool]]]


class VerifiedStream:
    """Lets no word of one answer leave before a first quote is proven, and none after a source was removed.

    `prove` returns the quotes that are true, and whether all documents that were read may still be read.
    """

    def __init__(self, prove: Prove) -> None:
        self._prove = prove
        self._known: set[tuple[UUID, int, int]] = set()
        self._proven = False
        self._stopped = False
        self._text = ""

    @property
    def has_begun(self) -> bool:
        return bool(self._text)

    async def advance(self, text: str, quotes: Sequence[Quote]) -> list[Cited | Text]:
        """Return what may leave now, given the answer from its beginning as far as its quotes bear it out.

        A text that does not continue the one before is ignored.
        """
        if self._stopped or text == self._text or not text.startswith(self._text):
            return []
        fresh = [quote for quote in quotes if _place(quote) not in self._known]
        proven, may_be_read = await self._prove(fresh)
        if not may_be_read:
            self._stopped = True
            return []
        self._known.update(map(_place, fresh))
        self._proven = self._proven or bool(proven)
        if not self._proven:
            return []
        words, self._text = text[len(self._text) :], text
        return [*map(Cited, cite(proven)), Text(words)]


def _place(quote: Quote) -> tuple[UUID, int, int]:
    return quote.document_id, quote.char_start, quote.char_end
