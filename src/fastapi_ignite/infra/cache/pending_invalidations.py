"""Invalidations that the backend could not take when they were due."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from fastapi_ignite.infra.cache.backend import CacheUnavailableError
from fastapi_ignite.infra.cache.metrics import OWED

MAX_TAGS = 10_000
log = structlog.get_logger(__name__)


class PendingInvalidations:
    """Tries until all are made. Past `MAX_TAGS` of them the one tag that every entry carries stands for all."""

    def __init__(
        self,
        invalidate: Callable[[Sequence[str]], Awaitable[None]],
        *,
        backend: str,
        retry_after: float,
        every_entry: str,
    ) -> None:
        self._invalidate = invalidate
        self._gauge = OWED.labels(backend)
        self._retry_after = retry_after
        self._every_entry = every_entry
        self._numbers = itertools.count()
        self._owed: dict[str, int] = {}
        self._payment: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        """While anything is owed, the backend holds values that must not be shown."""
        return bool(self._owed)

    def add(self, tags: Iterable[str]) -> None:
        """Owe these from now on; the first attempt is made at once."""
        for tag in tags:
            self._owed[tag] = next(self._numbers)
        if len(self._owed) > MAX_TAGS:
            self._owed = {self._every_entry: next(self._numbers)}
        self._gauge.set(len(self._owed))
        if self._owed and (self._payment is None or self._payment.done()):
            self._payment = asyncio.create_task(self._pay())

    async def _pay(self) -> None:
        while self._owed:
            batch = dict(self._owed)
            try:
                await self._invalidate(tuple(batch))
            except CacheUnavailableError:
                await asyncio.sleep(self._retry_after)
                continue
            # a tag that was added again meanwhile belongs to a later write
            self._owed = {tag: number for tag, number in self._owed.items() if batch.get(tag) != number}
            self._gauge.set(len(self._owed))
        log.info("owed cache invalidations made")

    async def close(self) -> None:
        """What is still owed is lost; the entries end by their TTL."""
        if self._payment is not None:
            self._payment.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._payment
        if self._owed:
            log.warning("cache invalidations lost", tags=len(self._owed))
