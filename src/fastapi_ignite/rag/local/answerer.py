"""What the local engine knows of those who write its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi_ignite.rag.answers.passage import REFUSAL, Quote
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.local.retrieval import Retrieved


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer whose quotes are still to be proven. Without quotes it is a refusal.

    `text` is `None` where the quotes are the answer. `truncated`: the model was cut.
    """

    quotes: Sequence[Quote] = ()
    text: str | None = None
    truncated: bool = False
    refusal: str = REFUSAL


DraftListener = Callable[[Draft], Awaitable[None]]


class Answerer(Protocol):
    """Safe to share between tasks of one event loop."""

    @property
    def passages(self) -> int:
        """How many of the best passages it reads."""
        ...

    @property
    def paid(self) -> bool:
        """As the engine's."""
        ...

    async def answer(
        self, question: str, found: Retrieved | None, usage: TokenUsage, drafting: DraftListener | None = None
    ) -> Draft:
        """Answer from what was found, which is none where there was nothing to search in or for.

        No transaction is open. Whatever happens, `usage` has what was spent. One who writes for a while shows
        `drafting` how the answer begins, ever more of it.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
