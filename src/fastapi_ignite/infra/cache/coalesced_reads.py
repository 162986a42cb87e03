"""One read of a key at a time, for however many callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fastapi_ignite.infra.cache.backend import Snapshot

_Wanted = tuple[str, tuple[str, ...]]


class CoalescedReads:
    """Callers share a read that begins after they asked, so nobody is shown what was there before.

    Those who come while a read is running wait for it and share the next one: two reads serve any crowd.
    """

    def __init__(self, read: Callable[[str, Sequence[str]], Awaitable[Snapshot]]) -> None:
        self._read = read
        self._running: dict[_Wanted, asyncio.Task[Snapshot]] = {}
        self._next: dict[_Wanted, asyncio.Task[Snapshot]] = {}

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        """Cancelling one caller leaves the others their read."""
        wanted = (key, tuple(tags))
        task = self._next.get(wanted)
        if task is None:
            task = self._next[wanted] = asyncio.create_task(self._run(wanted))
        return await asyncio.shield(task)

    async def _run(self, wanted: _Wanted) -> Snapshot:
        while (running := self._running.get(wanted)) is not None:
            await asyncio.wait([running])
        self._running[wanted] = self._next.pop(wanted)
        try:
            return await self._read(*wanted)
        finally:
            del self._running[wanted]

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = [*self._running.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
