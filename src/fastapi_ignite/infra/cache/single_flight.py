"""Work that callers of one key share within a process: loads, and reads of the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from fastapi_ignite.infra.cache.backend import Snapshot

T = TypeVar("T")


class _LeaderCancelledError(Exception):
    """The caller that did the work was cancelled, which says nothing about the work."""


class SingleFlight(Generic[T]):
    """Runs work once for all who ask for it meanwhile.

    It runs inside its first caller, with that caller's session and deadline; there is no background task.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Future[T]] = {}

    async def share(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the result, and whether another caller did the work. A failure is shared as well.

        When the caller at work is cancelled, one of the waiting ones takes over.
        """
        while (flight := self._flights.get(key)) is not None:
            try:
                return await asyncio.shield(flight), True
            except _LeaderCancelledError:
                continue
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            flight.set_result(await work())
        except BaseException as error:
            flight.set_exception(error if isinstance(error, Exception) else _LeaderCancelledError())
            raise
        finally:
            del self._flights[key]
            flight.exception()  # a failure that nobody waits for is no news to the loop
        return flight.result(), False


class CoalescedReads:
    """Lets callers share a read that begins after they asked, so nobody is shown what was there before.

    Those who come while a read is running wait for it and share the next one: two reads serve any crowd.
    """

    def __init__(self, read: Callable[[str, Sequence[str]], Awaitable[Snapshot]]) -> None:
        self._read = read
        self._running: dict[Hashable, asyncio.Task[Snapshot]] = {}
        self._next: dict[Hashable, asyncio.Task[Snapshot]] = {}

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        """Read the backend. A caller that is cancelled leaves the others their read."""
        wanted = (key, *tags)
        task = self._next.get(wanted)
        if task is None:
            task = self._next[wanted] = asyncio.create_task(self._run(wanted, tags))
        return await asyncio.shield(task)

    async def _run(self, wanted: tuple[str, ...], tags: Sequence[str]) -> Snapshot:
        while (running := self._running.get(wanted)) is not None:
            await asyncio.wait([running])
        self._running[wanted] = self._next.pop(wanted)
        try:
            return await self._read(wanted[0], tags)
        finally:
            del self._running[wanted]
