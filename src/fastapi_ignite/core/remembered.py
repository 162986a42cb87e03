"""Looks a value up once for all callers that ask within a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Remembers the results of a look-up for `seconds`, counted from the moment it was begun.

    Callers that come together share one look-up. A failure is not remembered. Every process remembers for itself, so it
    learns of a change at most `seconds` late. ADR 16 says why no library does this.
    """

    def __init__(self, look_up: Callable[[K], Awaitable[V]], *, seconds: float, most: int = 50_000) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._most = most
        self._known: dict[K, tuple[float, V]] = {}
        self._running: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Return the value. Cancelling one caller leaves the others their look-up."""
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: K) -> V:
        until = time.monotonic() + self._seconds
        value = await self._look_up(key)
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[key] = (until, value)
        return value
