"""Who loads, among processes."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from fastapi_ignite.infra.cache.backend import CacheBackend, CacheUnavailableError, Snapshot
from fastapi_ignite.infra.cache.breaker import Breaker

C = TypeVar("C")
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25


class LoadLock:
    """The right to load one key, for at most `seconds`: when its owner died or takes longer, another may begin."""

    def __init__(self, backend: CacheBackend, breaker: Breaker, name: str, *, seconds: float) -> None:
        self._backend = backend
        self._breaker = breaker
        self._name = name
        self._seconds = seconds
        self._owner = secrets.token_hex(8)
        self._held = False

    async def take(self) -> bool:
        """Without waiting."""
        self._held = await self._breaker.run(
            "acquire", lambda: self._backend.acquire(self._name, self._owner, self._seconds)
        )
        return self._held

    async def wait(
        self, read: Callable[[], Awaitable[Snapshot]], usable: Callable[[Snapshot], C | None]
    ) -> tuple[Snapshot | None, C | None]:
        """The copy another process stored meanwhile; else it is the caller's turn to load.

        The snapshot names the generations that the load begins with; null: the backend is away. Nobody waits longer
        than two owners may take.
        """
        give_up = time.monotonic() + 2 * self._seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                held = await self.take()
                # after the lock, not before: its last owner may have stored the value and left in between
                snapshot = await read()
            except CacheUnavailableError:
                return None, None
            copy = usable(snapshot)
            if copy is not None or held or time.monotonic() >= give_up:
                return snapshot, copy
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  spread, not secrecy
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def release(self) -> None:
        """Does nothing where the lock was never taken."""
        if self._held:
            self._held = False
            with suppress(CacheUnavailableError):
                await self._breaker.run("release", lambda: self._backend.release(self._name, self._owner))
