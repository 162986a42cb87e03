"""The interface of a cache backend, and the breaker in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar, NamedTuple, Protocol

import structlog
from prometheus_client import Counter, Gauge

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.infra.breaker import CircuitBreaker

ERRORS = Counter("ignite_cache_backend_errors_total", "Backend calls that failed", ["backend", "operation", "error"])
AVAILABLE = Gauge("ignite_cache_available", "1, or 0 while the cache does without its backend", ["backend"])
log = structlog.get_logger(__name__)


class CacheUnavailableError(Exception):
    """The backend is away or failed, so its caller has to do without it."""


class Snapshot(NamedTuple):
    """The bytes under a key, and the generations that its tags had no later than that."""

    data: bytes | None
    generations: tuple[str, ...]


class LockOwner(NamedTuple):
    """A lock, and a text that only one of its callers knows."""

    lock: str
    owner: str


class CacheBackend(Protocol):
    """Stores bytes by key, generations by tag, and locks. It knows nothing of what the bytes mean.

    A generation is a token that never comes back once its tag was invalidated or forgotten, so whoever still holds an
    old one can tell. A method may raise anything; `outages` are the errors after which the next call would fail too.
    `coalesced` says that a read costs enough for many callers to share it.
    """

    name: ClassVar[str]
    outages: ClassVar[tuple[type[Exception], ...]]
    coalesced: ClassVar[bool]

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot: ...

    async def write(
        self,
        key: str,
        data: bytes,
        ttl: float,
        tags: Sequence[str],
        generations: Sequence[str],
        *,
        release: LockOwner | None = None,
    ) -> bool:
        """Store for `ttl` seconds, and release the lock afterwards.

        Return False where a tag has left its generation, or the bytes do not fit.
        """
        ...

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Return the generation of each tag, a new one where it has none."""
        ...

    async def invalidate(self, tags: Sequence[str]) -> None:
        """End the generation of each tag, for every process that shares the backend."""
        ...

    async def acquire(
        self, lock: str, owner: str, seconds: float, key: str, tags: Sequence[str]
    ) -> tuple[bool, Snapshot]:
        """Take the lock if it is free, and read after that. Return whether it was free, and what `read` returns.

        The lock frees itself when its owner dies: at once, or after `seconds`.
        """
        ...

    async def release(self, lock: str, owner: str) -> None:
        """Give the lock back if it is still `owner`'s."""
        ...

    def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Yield every key that begins with `prefix`, with its bytes, in pages."""
        ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries and return how many of them were there."""
        ...

    async def close(self) -> None: ...


class BackendBreaker(CircuitBreaker):
    """Raises `CacheUnavailableError`, whatever the backend raised."""

    unavailable: ClassVar[type[Exception]] = CacheUnavailableError

    def __init__(self, backend: CacheBackend, *, timeout: float, retry_after: float) -> None:
        super().__init__(outages=backend.outages, timeout=timeout, retry_after=retry_after)
        self._name = backend.name
        self._outages_log = OutageLog(log, away="cache away", back="cache back", backend=backend.name)
        AVAILABLE.labels(self._name).set(1)

    def _failed(self, operation: str, error: Exception, *, outage: bool) -> None:
        ERRORS.labels(self._name, operation, type(error).__name__).inc()
        if outage:
            AVAILABLE.labels(self._name).set(0)
        else:
            log.warning("cache call failed", backend=self._name, operation=operation, error=type(error).__name__)

    def _went_away(self, operation: str, error: Exception) -> None:
        self._outages_log.failed(error, operation=operation)

    def _recovered(self) -> None:
        AVAILABLE.labels(self._name).set(1)
        self._outages_log.answered()
