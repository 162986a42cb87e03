"""Values in this process, the least recently used going first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fastapi_ignite.core import clock
from fastapi_ignite.infra.cache.backend import Snapshot

ENTRY_OVERHEAD_BYTES = 400  # key, record and dictionary slot, measured with tracemalloc
TAG_SLOTS = 65_536


@dataclass(frozen=True, slots=True)
class _Stored:
    data: bytes
    expires: float
    cost: int


class MemoryBackend:
    """Bounded in bytes. Tags share a fixed number of generations: two in one slot invalidate each other, no more."""

    name: ClassVar[str] = "memory"
    outages: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Stored] = OrderedDict()
        self._bytes = 0
        self._generations: dict[int, int] = {}
        self._locks: dict[str, tuple[str, float]] = {}

    @property
    def stored_bytes(self) -> int:
        """What the entries cost, bookkeeping included."""
        return self._bytes

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        """A read makes the entry the most recently used one."""
        stored = self._entries.get(key)
        if stored is not None:
            self._entries.move_to_end(key)
            if stored.expires <= clock.now().timestamp():
                self._drop(key)
                stored = None
        return Snapshot(stored.data if stored else None, await self.generations(tags))

    async def write(self, key: str, data: bytes, ttl: float, tags: Sequence[str], generations: Sequence[str]) -> bool:
        """Makes room first; a value larger than the bound is refused."""
        cost = len(data) + len(key) + ENTRY_OVERHEAD_BYTES
        if cost > self._max_bytes or await self.generations(tags) != tuple(generations):
            return False
        self._drop(key)
        while self._bytes + cost > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[key] = _Stored(data, clock.now().timestamp() + ttl, cost)
        self._bytes += cost
        return True

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        """A count, from 0."""
        return tuple(str(self._generations.get(_slot(tag), 0)) for tag in tags)

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Count on."""
        for tag in tags:
            self._generations[_slot(tag)] = self._generations.get(_slot(tag), 0) + 1

    async def acquire(self, lock: str, owner: str, seconds: float) -> bool:
        """A lock outlives its owner's time only in name."""
        now = clock.now().timestamp()
        _, until = self._locks.get(lock, ("", 0.0))
        if until > now:
            return False
        self._locks[lock] = (owner, now + seconds)
        return True

    async def release(self, lock: str, owner: str) -> None:
        """Owners whose time ran out may find another's lock, and leave it."""
        if self._locks.get(lock, ("", 0.0))[0] == owner:
            del self._locks[lock]

    async def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """One page: nothing is copied but references."""
        yield [(key, stored.data) for key, stored in self._entries.items() if key.startswith(prefix)]

    async def delete(self, keys: Sequence[str]) -> int:
        """Frees the bytes at once."""
        return sum(self._drop(key) for key in keys)

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: str) -> bool:
        stored = self._entries.pop(key, None)
        if stored is None:
            return False
        self._bytes -= stored.cost
        return True


def _slot(tag: str) -> int:
    return hash(tag) % TAG_SLOTS
