"""Work that takes turns within a process."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable


class Lane:
    """One call at a time; what waits for its turn holds no worker thread, so other kinds of work go on.

    A call that is only noted returns at once. If the process ends before its turn, the sweeper finds its row.
    """

    def __init__(self, work: Callable[..., Awaitable[None]]) -> None:
        self._work = work
        self._waiting: dict[tuple[str, ...], contextvars.Context] = {}
        self._busy = False

    async def take(self, *arguments: str) -> None:
        """Work, or leave it to whoever works now; then on what was left by others meanwhile."""
        self._waiting.setdefault(arguments, contextvars.copy_context())
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                following = next(iter(self._waiting))
                context = self._waiting.pop(following)
                await asyncio.create_task(self._run(following), context=context)
        finally:
            self._busy = False

    async def _run(self, arguments: tuple[str, ...]) -> None:
        await self._work(*arguments)
