"""A small cache in the process that also shares one look-up among concurrent callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Keeps each result of `look_up` for `seconds`. Concurrent callers share one look-up. Errors are not kept.

    Each process has its own cache, so it may learn of a change up to `seconds` late. Where somebody calls `forget` at
    each change, results are kept for `notified_seconds` instead, as long as `is_notified()` returns True. Of more than
    `most` results, the one that was looked up first makes room.
    """

    def __init__(
        self,
        look_up: Callable[[K], Awaitable[V]],
        *,
        seconds: float,
        notified_seconds: float = 0.0,
        is_notified: Callable[[], bool] | None = None,
        most: int = 50_000,
    ) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._notified_seconds = notified_seconds
        self._is_notified = is_notified
        self._most = most
        self._known: dict[K, tuple[float, V]] = {}
        self._running: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Return the value. When one caller is cancelled, the look-up goes on for the others."""
        known = self._known.get(key)
        if known is not None and self._is_fresh(time.monotonic() - known[0]):
            return known[1]
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda done: self._forget_task(key, done))
        return await asyncio.shield(task)

    def forget(self, key: K) -> None:
        """Look the key up at the next call, also if a look-up is under way: it may have read the old value."""
        self._known.pop(key, None)
        self._running.pop(key, None)

    def forget_all(self) -> None:
        """Look every key up at its next call."""
        self._known.clear()
        self._running.clear()

    def _is_fresh(self, age: float) -> bool:
        return age < self._seconds or (
            age < self._notified_seconds and self._is_notified is not None and self._is_notified()
        )

    def _forget_task(self, key: K, done: asyncio.Task[V]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
        if not done.cancelled():
            done.exception()  # asyncio would log an error that nobody waits for any more

    async def _ask(self, key: K) -> V:
        asked_at = time.monotonic()
        value = await self._look_up(key)
        if self._running.get(key) is not asyncio.current_task():
            return value  # the key was forgotten meanwhile
        self._known.pop(key, None)  # so that it becomes the newest
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[key] = (asked_at, value)
        return value
