"""The cache itself: look up, load once, store unless outdated, renew in time, and never stand in a request's way."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Generic, TypeVar, cast

import structlog

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.infra.cache.backend import CacheBackend, CacheUnavailableError, Snapshot
from fastapi_ignite.infra.cache.breaker import Breaker
from fastapi_ignite.infra.cache.codec import UncacheableValueError
from fastapi_ignite.infra.cache.entries import CorruptEntryError, Entry
from fastapi_ignite.infra.cache.locking import LoadLock
from fastapi_ignite.infra.cache.metrics import CORRUPT, LOAD_SECONDS, NOT_STORED, REQUESTS
from fastapi_ignite.infra.cache.pending_invalidations import PendingInvalidations
from fastapi_ignite.infra.cache.single_flight import SingleFlight

T = TypeVar("T")
EVERY_ENTRY = "~all"  # the tag that every entry carries
CLEAR_TIMEOUT_SECONDS = 10.0
log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """How a look-up was answered."""

    HIT = "hit"
    MISS = "miss"  # loaded by this caller
    SHARED = "shared"  # loaded by another caller, in this process or another, that this one waited for
    REFRESH = "refresh"  # loaded by this caller before the copy's time was over
    STALE = "stale"  # a copy whose renewal was due: another caller is at it, or it failed
    BYPASS = "bypass"  # loaded by this caller because the backend is away; not stored


@dataclass(frozen=True, slots=True)
class Policy(Generic[T]):
    """How the values of one function are kept. `ttl` null: the cache's default.

    `absence`: the refusal that is remembered for the negative TTL, as the value `None` is.
    """

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    ttl: int | None = None
    absence: type[NotFoundError] | None = None

    def refusal(self, body: bytes) -> NotFoundError:
        """As it was raised, made anew for each caller."""
        if self.absence is None:
            raise ValueError("this function remembers no refusals")
        detail, extra = json.loads(body)
        return self.absence(detail, **extra)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value, where it came from and how many seconds ago it was loaded."""

    value: T
    outcome: Outcome
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    policy: Policy[T]
    key: str
    tags: tuple[str, ...]
    load: Callable[[], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class _Copy(Generic[T]):
    """A stored value, or a stored refusal."""

    entry: Entry
    value: T | None
    refusal: NotFoundError | None

    def shown(self) -> T:
        if self.refusal is not None:
            raise self.refusal
        return cast("T", self.value)


@dataclass(frozen=True, slots=True)
class _Landing(Generic[T]):
    """What came of a load, and the entry that others can copy it from."""

    entry: Entry | None
    value: T
    outcome: Outcome


class Cache:
    """One for the process. A backend that is away, slow or full of garbage costs time, never an answer."""

    def __init__(
        self,
        backend: CacheBackend,
        *,
        default_ttl: int = 300,
        negative_ttl: int = 10,
        max_value_bytes: int = 2**20,
        timeout: float = 0.25,
        lock_seconds: float = 10.0,
        retry_after: float = 5.0,
    ) -> None:
        self._backend = backend
        self._breaker = Breaker(backend, timeout=timeout, retry_after=retry_after)
        self._pending = PendingInvalidations(
            self._invalidate, backend=backend.name, retry_after=retry_after, every_entry=EVERY_ENTRY
        )
        self._single_flight: SingleFlight[_Landing[Any]] = SingleFlight()
        self._default_ttl = default_ttl
        self._negative_ttl = negative_ttl
        self._max_value_bytes = max_value_bytes
        self._lock_seconds = lock_seconds

    async def get_or_load(
        self, policy: Policy[T], key: str, tags: Iterable[str], load: Callable[[], Awaitable[T]]
    ) -> Found[T]:
        """The stored value, or what `load` returns; `load` runs at most once, within this call.

        A caller shares only a load that began with the generations its tags have now: a value from before an
        invalidation is never given to someone who asked after it.
        """
        job = _Job(policy, key, (*tags, EVERY_ENTRY), load)
        try:
            snapshot = await self._read(job)
        except CacheUnavailableError:
            return self._landed(job, await self._load(job, None, Outcome.BYPASS))
        copy = self._usable(job, snapshot)
        if copy is None:
            flight = (key, snapshot.generations)
            landing, shared = await self._single_flight.share(flight, partial(self._load_alone, job, snapshot))
            return self._handed_on(job, landing) if shared else self._landed(job, landing)
        if copy.entry.refresh_due():
            return await self._refresh(job, copy, snapshot)
        return self._shown(job, copy, Outcome.HIT)

    async def invalidate(self, *tags: str) -> None:
        """Let no entry with one of these tags be shown any more. Call it after the commit.

        While the backend cannot take it, this process does without the cache and tries again.
        """
        if self._pending:
            self._pending.add(tags)
            return
        try:
            await self._invalidate(tags)
        except CacheUnavailableError:
            self._pending.add(tags)
        except BaseException:  # a cancelled request: its write is done
            self._pending.add(tags)
            raise

    def invalidate_soon(self, *tags: str) -> None:
        """As `invalidate`, in the background; until it is done this process does without the cache."""
        self._pending.add(tags)

    async def clear(self, prefix: str) -> int:
        """Remove every entry whose key begins so; returns how many there were that could still be shown.

        Entries that an invalidation outdated go too, uncounted. For writes use `invalidate`: a load that is under way
        stores its value after this.
        """
        removed = 0

        async def remove() -> None:
            nonlocal removed
            async for page in self._backend.scan(prefix):
                entries = dict(page)
                dead = await self._outdated(entries)
                removed += await self._backend.delete([key for key in entries if key not in dead])
                await self._backend.delete(dead)

        with suppress(CacheUnavailableError):
            await self._breaker.run("clear", remove, timeout=CLEAR_TIMEOUT_SECONDS)
        return removed

    async def close(self) -> None:
        """Return the backend's resources, when the calls that use them have ended."""
        await self._pending.close()
        await self._breaker.close()
        await self._backend.close()

    async def _read(self, job: _Job[T]) -> Snapshot:
        if self._pending:
            raise CacheUnavailableError
        return await self._breaker.run("read", lambda: self._backend.read(job.key, job.tags))

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self._breaker.run("invalidate", lambda: self._backend.invalidate(tags))

    def _usable(self, job: _Job[T], snapshot: Snapshot) -> _Copy[T] | None:
        """Null for everything that must not or cannot be shown: a miss."""
        if snapshot.data is None:
            return None
        try:
            entry = Entry.from_bytes(job.key, snapshot.data)
            if entry.expired or entry.generations != snapshot.generations:
                return None
            if entry.absent:
                return _Copy(entry, None, job.policy.refusal(entry.body))
            return _Copy(entry, job.policy.decode(entry.body), None)
        except (CorruptEntryError, ValueError):
            CORRUPT.labels(job.policy.name).inc()
            return None

    async def _refresh(self, job: _Job[T], copy: _Copy[T], snapshot: Snapshot) -> Found[T]:
        """One caller renews the copy, within its own request; the others are given the copy."""
        lock = self._lock(job, snapshot)
        try:
            if not await lock.take():
                return self._shown(job, copy, Outcome.STALE)
        except CacheUnavailableError:
            return self._shown(job, copy, Outcome.STALE)
        try:
            landing = await self._load(job, snapshot, Outcome.REFRESH)
        except NotFoundError:
            raise
        except Exception as error:  # noqa: BLE001  whatever the function raises, the copy is still good
            log.warning("early refresh failed", cache=job.policy.name, error=type(error).__name__)
            return self._shown(job, copy, Outcome.STALE)
        finally:
            await lock.release()
        return self._landed(job, landing)

    async def _load_alone(self, job: _Job[T], snapshot: Snapshot) -> _Landing[T]:
        """Load unless another process does; then wait for its entry."""
        lock = self._lock(job, snapshot)
        try:
            latest, copy = await lock.wait(lambda: self._read(job), lambda found: self._usable(job, found))
            if copy is not None:
                return _Landing(copy.entry, copy.shown(), Outcome.SHARED)
            return await self._load(job, latest, Outcome.MISS)
        finally:
            await lock.release()

    def _lock(self, job: _Job[T], snapshot: Snapshot) -> LoadLock:
        """Of a key at one generation: a load that an invalidation outdated keeps nobody waiting."""
        generations = hashlib.blake2b("".join(snapshot.generations).encode(), digest_size=8).hexdigest()
        return LoadLock(self._backend, self._breaker, f"{job.key}:{generations}", seconds=self._lock_seconds)

    async def _load(self, job: _Job[T], snapshot: Snapshot | None, outcome: Outcome) -> _Landing[T]:
        """The one place where the function runs. Without a snapshot nothing is stored."""
        policy = job.policy
        began = time.perf_counter()
        try:
            value = await job.load()
        except NotFoundError as error:
            REQUESTS.labels(policy.name, outcome).inc()
            if snapshot and policy.absence and isinstance(error, policy.absence):
                body = json.dumps([error.detail, error.extra], default=str).encode()
                await self._store(job, self._entry(job, snapshot, body, began, self._negative_ttl, absent=True))
            raise
        LOAD_SECONDS.labels(policy.name).observe(time.perf_counter() - began)
        if snapshot is None:
            return _Landing(None, value, outcome)
        try:
            body = policy.encode(value)
        except UncacheableValueError:
            NOT_STORED.labels(policy.name, "type").inc()
            log.warning("value is not what the function declares", cache=policy.name)
            return _Landing(None, value, outcome)
        ttl = self._negative_ttl if value is None else policy.ttl or self._default_ttl
        entry = self._entry(job, snapshot, body, began, ttl)
        await self._store(job, entry)
        return _Landing(entry, value, outcome)

    @staticmethod
    def _entry(
        job: _Job[T], snapshot: Snapshot, body: bytes, began: float, ttl: float, *, absent: bool = False
    ) -> Entry:
        return Entry.of(
            body,
            ttl=ttl,
            load_seconds=time.perf_counter() - began,
            tags=job.tags,
            generations=snapshot.generations,
            absent=absent,
        )

    async def _store(self, job: _Job[T], entry: Entry) -> None:
        """Unless a tag was invalidated since the load began, or the value is too large."""
        lifetime = entry.expires - entry.created
        data = entry.to_bytes(job.key)
        if lifetime <= 0:
            return
        if len(data) > self._max_value_bytes:
            NOT_STORED.labels(job.policy.name, "size").inc()
            return
        with suppress(CacheUnavailableError):
            stored = await self._breaker.run(
                "write", lambda: self._backend.write(job.key, data, lifetime, entry.tags, entry.generations)
            )
            if not stored:
                NOT_STORED.labels(job.policy.name, "refused").inc()

    def _shown(self, job: _Job[T], copy: _Copy[T], outcome: Outcome) -> Found[T]:
        REQUESTS.labels(job.policy.name, outcome).inc()
        return Found(copy.shown(), outcome, copy.entry.age)

    def _landed(self, job: _Job[T], landing: _Landing[T]) -> Found[T]:
        REQUESTS.labels(job.policy.name, landing.outcome).inc()
        return Found(landing.value, landing.outcome, landing.entry.age if landing.entry else 0.0)

    def _handed_on(self, job: _Job[T], landing: _Landing[T]) -> Found[T]:
        """Each caller has a value of its own to change, wherever it has a form to copy it from."""
        value = landing.value
        if landing.entry is not None:
            with suppress(ValueError):
                value = job.policy.decode(landing.entry.body)
        return self._landed(job, _Landing(landing.entry, value, Outcome.SHARED))

    async def _outdated(self, entries: dict[str, bytes]) -> list[str]:
        parsed: dict[str, Entry] = {}
        for key, data in entries.items():
            with suppress(CorruptEntryError):
                parsed[key] = Entry.from_bytes(key, data)
        tags = sorted({tag for entry in parsed.values() for tag in entry.tags})
        current = dict(zip(tags, await self._backend.generations(tags), strict=True))
        return [
            key
            for key, entry in parsed.items()
            if entry.expired or entry.generations != tuple(current[tag] for tag in entry.tags)
        ]
