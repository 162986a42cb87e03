"""Invalidations that the backend could not take when they were due."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
from prometheus_client import Gauge

from fastapi_ignite.infra.cache.backend import CacheUnavailableError
from fastapi_ignite.infra.cache.keys import EVERY_ENTRY

MAX_TAGS = 10_000
OWED = Gauge("ignite_cache_owed_invalidations", "Tags still to be invalidated once the backend is back", ["backend"])
log = structlog.get_logger(__name__)


class PendingInvalidations:
    """Tries until all are made. Beyond `MAX_TAGS` the one tag that every entry carries stands for all of them.

    It is true while it holds any: then the backend holds values that must not be shown.
    """

    def __init__(
        self, invalidate: Callable[[Sequence[str]], Awaitable[None]], *, backend: str, retry_after: float
    ) -> None:
        self._invalidate = invalidate
        self._gauge = OWED.labels(backend)
        self._retry_after = retry_after
        self._tags: dict[str, object] = {}  # each with a mark of its own, so that adding one again is noticed
        self._task: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._tags)

    def add(self, tags: Iterable[str]) -> None:
        """Hold these from now on; the first attempt is made at once."""
        self._tags.update((tag, object()) for tag in tags)
        if len(self._tags) > MAX_TAGS:
            self._tags = {EVERY_ENTRY: object()}
        self._gauge.set(len(self._tags))
        if self._tags and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while batch := dict(self._tags):
            try:
                await self._invalidate(tuple(batch))
            except CacheUnavailableError:
                await asyncio.sleep(self._retry_after)
                continue
            # a tag that was added again meanwhile belongs to a later write
            self._tags = {tag: mark for tag, mark in self._tags.items() if batch.get(tag) is not mark}
            self._gauge.set(len(self._tags))
        log.info("owed cache invalidations made")

    async def close(self) -> None:
        """Stop trying. What is still held is lost, and its entries are shown to the end of their TTL."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._tags:
            log.warning("cache invalidations lost", tags=len(self._tags))
