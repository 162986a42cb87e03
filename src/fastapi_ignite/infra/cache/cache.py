"""The cache: look up, load once, store unless outdated, renew in time, and never stand in a request's way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import KW_ONLY, dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Generic, TypeVar, cast

import structlog
from prometheus_client import Counter, Histogram

from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.infra.cache.backend import BackendBreaker, CacheBackend, CacheUnavailableError, LockOwner, Snapshot
from fastapi_ignite.infra.cache.entries import CorruptEntryError, Entry, Policy, UncacheableValueError
from fastapi_ignite.infra.cache.keys import EVERY_ENTRY
from fastapi_ignite.infra.cache.pending_invalidations import PendingInvalidations
from fastapi_ignite.infra.cache.single_flight import CoalescedReads, SingleFlight

T = TypeVar("T")
CLEAR_TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25
JITTER = 0.1  # entries written together must not expire together

# `cache` is a key's name without its values, so the series stay few
REQUESTS = Counter("ignite_cache_requests_total", "Look-ups by how they were answered", ["cache", "outcome"])
LOAD_SECONDS = Histogram("ignite_cache_load_seconds", "Time taken by the functions behind the cache", ["cache"])
NOT_STORED = Counter("ignite_cache_not_stored_total", "Loaded values that were not stored", ["cache", "reason"])
CORRUPT = Counter("ignite_cache_corrupt_total", "Entries that could not be read and were taken for a miss", ["cache"])
log = structlog.get_logger(__name__)


class CacheStatus(StrEnum):
    """A look-up was answered in one of these ways."""

    HIT = "hit"
    MISS = "miss"  # loaded by this caller
    SHARED = "shared"  # loaded by another caller, in this process or another, that this one waited for
    REFRESH = "refresh"  # loaded by this caller before the copy's time was over
    STALE = "stale"  # a copy whose renewal was due: another caller is at it, or it failed
    BYPASS = "bypass"  # loaded by this caller because the backend is away; not stored


@dataclass(frozen=True, slots=True)
class LookupResult(Generic[T]):
    """A value, where it came from, and its stored form if it has one."""

    value: T
    status: CacheStatus
    entry: Entry | None

    @property
    def age(self) -> float:
        """Seconds since the value was loaded."""
        return self.entry.age if self.entry else 0.0


@dataclass(frozen=True, slots=True)
class _Lookup(Generic[T]):
    policy: Policy[T]
    key: str
    tags: tuple[str, ...]
    load: Callable[[], Awaitable[T]]


@dataclass(slots=True)
class _Lock:
    """The lock of a load, and whether this caller holds it."""

    owner: LockOwner
    held: bool = False


# A "not found" stands in the place of a value until the end of the look-up, where it is raised.
_Result = LookupResult[T | NotFoundError]


@dataclass(eq=False)
class Cache:
    """The cache of a process. A backend that is away, slow or full of garbage costs time, never an answer."""

    backend: CacheBackend
    _: KW_ONLY
    default_ttl: int = 300
    negative_ttl: int = 10
    max_value_bytes: int = 2**20
    timeout: float = 0.25
    lock_seconds: float = 10.0
    retry_after: float = 5.0

    def __post_init__(self) -> None:
        self._unreleased: list[LockOwner] = []
        self._breaker = BackendBreaker(self.backend, timeout=self.timeout, retry_after=self.retry_after)
        self._pending = PendingInvalidations(self._invalidate, backend=self.backend.name, retry_after=self.retry_after)
        read = self._read_backend
        self._read_snapshot = CoalescedReads(read).read if self.backend.coalesced else read
        self._loads: SingleFlight[_Result[Any]] = SingleFlight()

    async def get_or_load(
        self, policy: Policy[T], key: str, tags: Iterable[str], load: Callable[[], Awaitable[T]]
    ) -> LookupResult[T]:
        """Return the stored value, or what `load` returns; `load` runs at most once, within this call.

        A caller shares only a load that began with the generations its tags have now: a value from before an
        invalidation is never given to someone who asked after it.
        """
        result = await self._look_up(_Lookup(policy, key, (*tags, EVERY_ENTRY), load))
        REQUESTS.labels(policy.name, result.status).inc()
        if isinstance(result.value, NotFoundError):
            raise result.value
        return cast("LookupResult[T]", result)

    async def invalidate(self, *tags: str) -> None:
        """Let no entry with one of these tags be shown any more. Call it after the commit.

        While the backend cannot take it, this process does without the cache and tries again.
        """
        if self._pending:
            self._pending.add(tags)
            return
        try:
            await self._invalidate(tags)
        except BaseException as error:  # also of a cancelled request, whose write is done
            self._pending.add(tags)
            if not isinstance(error, CacheUnavailableError):
                raise

    def invalidate_soon(self, *tags: str) -> None:
        """Invalidate in the background; until that is done this process does without the cache."""
        self._pending.add(tags)

    async def clear(self, prefix: str) -> int:
        """Remove every entry whose key begins so; return how many there were that could still be shown.

        For writes use `invalidate`: a load that is under way stores its value after this.
        """
        removed = 0

        async def remove() -> None:
            nonlocal removed
            async for page in self.backend.scan(prefix):
                valid = await self._valid(page)
                removed += await self.backend.delete(list(valid))
                await self.backend.delete([key for key, _ in page if key not in valid])

        with suppress(CacheUnavailableError):
            await self._breaker.run("clear", remove, timeout=CLEAR_TIMEOUT_SECONDS)
        return removed

    async def close(self) -> None:
        """Return the backend's resources when the calls that use them have ended."""
        await self._pending.close()
        await self._breaker.close()
        await self.backend.close()

    async def _look_up(self, lookup: _Lookup[T]) -> _Result[T]:
        try:
            snapshot = await self._read(lookup)
        except CacheUnavailableError:
            return await self._load(lookup, None, CacheStatus.BYPASS)
        copy = self._stored(lookup, snapshot, CacheStatus.HIT)
        if copy is None:
            work = partial(self._load_alone, lookup, snapshot)
            result, shared = await self._loads.share((lookup.key, snapshot.generations), work)
            return self._copied(lookup, result) if shared else result
        if copy.entry is not None and copy.entry.refresh_due():
            return await self._refresh(lookup, snapshot, replace(copy, status=CacheStatus.STALE))
        return copy

    async def _read(self, lookup: _Lookup[T]) -> Snapshot:
        if self._pending:
            raise CacheUnavailableError
        return await self._read_snapshot(lookup.key, lookup.tags)

    async def _read_backend(self, key: str, tags: Sequence[str]) -> Snapshot:
        return await self._breaker.run("read", lambda: self.backend.read(key, tags))

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self._breaker.run("invalidate", lambda: self.backend.invalidate(tags))

    def _stored(self, lookup: _Lookup[T], snapshot: Snapshot, status: CacheStatus) -> _Result[T] | None:
        """Return the stored copy, or None where there is none that may and can be shown."""
        if snapshot.data is None:
            return None
        try:
            entry = Entry.from_bytes(lookup.key, snapshot.data)
            if entry.expired or entry.generations != snapshot.generations:
                return None
            return LookupResult(lookup.policy.result(entry), status, entry)
        except ValueError:
            CORRUPT.labels(lookup.policy.name).inc()
            return None

    @staticmethod
    def _copied(lookup: _Lookup[T], result: _Result[T]) -> _Result[T]:
        """Give a caller that shared a load a value of its own to change, wherever it has a stored form."""
        value = result.value
        if result.entry is not None:
            with suppress(ValueError):
                value = lookup.policy.result(result.entry)
        return LookupResult(value, CacheStatus.SHARED, result.entry)

    async def _refresh(self, lookup: _Lookup[T], snapshot: Snapshot, copy: _Result[T]) -> _Result[T]:
        """Let one caller renew the copy, within its own request; the others are given the copy."""
        async with self._lock(lookup, snapshot) as lock:
            try:
                acquired, latest = await self._acquire(lookup, lock)
                return await self._load(lookup, latest, CacheStatus.REFRESH, lock) if acquired else copy
            except CacheUnavailableError:
                return copy
            except Exception as error:  # noqa: BLE001  whatever the function raises, the copy is still good
                log.warning("early refresh failed", cache=lookup.policy.name, error=type(error).__name__)
                return copy

    async def _load_alone(self, lookup: _Lookup[T], snapshot: Snapshot) -> _Result[T]:
        """Load unless another process does; then wait for its entry, but not for longer than two owners may take."""
        give_up = time.monotonic() + 2 * self.lock_seconds
        pause = FIRST_PAUSE_SECONDS
        async with self._lock(lookup, snapshot) as lock:
            while True:
                try:
                    # it reads after the lock, not before: its last owner may have stored the value and left in between
                    acquired, latest = await self._acquire(lookup, lock)
                except CacheUnavailableError:
                    return await self._load(lookup, None, CacheStatus.MISS)
                copy = self._stored(lookup, latest, CacheStatus.SHARED)
                if copy is not None:
                    return copy
                if acquired or time.monotonic() >= give_up:
                    return await self._load(lookup, latest, CacheStatus.MISS, lock)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  spread, not secrecy
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _lock(self, lookup: _Lookup[T], snapshot: Snapshot) -> AsyncGenerator[_Lock]:
        """Yield the lock of a key at one generation, which is not held yet; give it back at the end.

        A load that an invalidation outdated keeps nobody waiting, since its generation is another one.
        """
        generations = hashlib.blake2b("".join(snapshot.generations).encode(), digest_size=8).hexdigest()
        lock = _Lock(LockOwner(f"{lookup.key}:{generations}", secrets.token_hex(8)))
        try:
            yield lock
        finally:
            if lock.held:
                self._unreleased.append(lock.owner)
                await self._release_locks()

    async def _acquire(self, lookup: _Lookup[T], lock: _Lock) -> tuple[bool, Snapshot]:
        """Try to take the lock, and read what is stored then."""
        if self._pending:
            raise CacheUnavailableError
        await self._release_locks()
        try:
            lock.held, latest = await self._breaker.run(
                "acquire", lambda: self.backend.acquire(*lock.owner, self.lock_seconds, lookup.key, lookup.tags)
            )
        except BaseException:
            self._unreleased.append(lock.owner)  # it may have been taken, and only the answer be lost
            raise
        return lock.held, latest

    async def _release_locks(self) -> None:
        """Release the locks of loads that have ended, also those that an outage kept from being released before."""
        while self._unreleased:
            lock = self._unreleased.pop()
            try:
                await self._breaker.run("release", partial(self.backend.release, *lock))
            except CacheUnavailableError:
                self._unreleased.append(lock)
                return

    async def _load(
        self, lookup: _Lookup[T], snapshot: Snapshot | None, status: CacheStatus, lock: _Lock | None = None
    ) -> _Result[T]:
        """Run the function, which happens nowhere else. Without a snapshot nothing is stored."""
        value: T | NotFoundError
        began = time.perf_counter()
        try:
            value = await lookup.load()
            LOAD_SECONDS.labels(lookup.policy.name).observe(time.perf_counter() - began)
        except NotFoundError as error:
            value = error
        entry = None
        if snapshot is not None:
            entry = self._entry(lookup, snapshot, value, time.perf_counter() - began)
        if entry is not None and entry.expires > entry.created:
            await self._store(lookup, entry, lock)
        return LookupResult(value, status, entry)

    def _entry(
        self, lookup: _Lookup[T], snapshot: Snapshot, value: T | NotFoundError, load_seconds: float
    ) -> Entry | None:
        policy = lookup.policy
        absent = isinstance(value, NotFoundError)
        if isinstance(value, NotFoundError):
            if policy.absence is None or not isinstance(value, policy.absence):
                return None
            body = json.dumps([value.detail, value.extra], default=str).encode()
        else:
            try:
                body = policy.encode(value)
            except UncacheableValueError:
                NOT_STORED.labels(policy.name, "type").inc()
                log.warning("value is not what the function declares", cache=policy.name)
                return None
        ttl = self.negative_ttl if absent or value is None else policy.ttl or self.default_ttl
        created = clock.now().timestamp()
        expires = created + ttl * random.uniform(1 - JITTER, 1)  # noqa: S311  spread, not secrecy
        return Entry(body, lookup.tags, snapshot.generations, created, expires, load_seconds, absent)

    async def _store(self, lookup: _Lookup[T], entry: Entry, lock: _Lock | None) -> None:
        """Store unless a tag was invalidated since the load began, or the value is too large; then release the lock."""
        key, data, ttl = lookup.key, entry.to_bytes(lookup.key), entry.expires - entry.created
        if len(data) > self.max_value_bytes:
            NOT_STORED.labels(lookup.policy.name, "size").inc()
            return
        owner = lock.owner if lock and lock.held else None
        with suppress(CacheUnavailableError):
            stored = await self._breaker.run(
                "write", lambda: self.backend.write(key, data, ttl, entry.tags, entry.generations, release=owner)
            )
            if lock:
                lock.held = False
            if not stored:
                NOT_STORED.labels(lookup.policy.name, "refused").inc()

    async def _valid(self, page: list[tuple[str, bytes]]) -> set[str]:
        """Return the keys of the entries that may still be shown."""
        entries: dict[str, Entry] = {}
        for key, data in page:
            with suppress(CorruptEntryError):
                entries[key] = Entry.from_bytes(key, data)
        tags = sorted({tag for entry in entries.values() for tag in entry.tags})
        current = dict(zip(tags, await self.backend.generations(tags), strict=True))
        return {
            key
            for key, entry in entries.items()
            if not entry.expired and entry.generations == tuple(current[tag] for tag in entry.tags)
        }
