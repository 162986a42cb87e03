"""The protocol of what writes the local engine's answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi_ignite.rag.answers.passage import REFUSAL, Quote
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.retrieval import Retrieved


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer whose quotes are still to be proven. Without quotes it is a refusal.

    `text` is None where the quotes are the answer. A draft that is not `complete` is how the answer begins.
    """

    quotes: Sequence[Quote] = ()
    text: str | None = None
    truncated: bool = False
    refusal: str = REFUSAL
    complete: bool = True


class Answerer(Protocol):
    """Writes answers. It may be shared by the tasks of one event loop."""

    @property
    def passages(self) -> int:
        """Return how many of the best passages it reads."""
        ...

    @property
    def paid(self) -> bool:
        """Return whether an answer costs money at a provider."""
        ...

    def answer(
        self, question: str, found: Retrieved | None, usage: TokenUsage, *, stream: bool
    ) -> AsyncGenerator[Draft]:
        """Answer from what was found, which is None where there was nothing to search in or for.

        The last draft is the complete one. With `stream`, ever longer beginnings may come before it. No transaction
        is open. Whatever happens, `usage` has what was spent; closing the generator stops the model.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
