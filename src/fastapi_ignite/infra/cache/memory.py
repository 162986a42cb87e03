"""Values in this process, of which the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from fastapi_ignite.infra.cache.backend import LockOwner, Snapshot

ENTRY_OVERHEAD_BYTES = 200  # key, value and dictionary slot, measured with tracemalloc
TAG_SLOTS = 65_536


class MemoryBackend:
    """Bounded in bytes. Tags share a fixed number of generations: two in one slot invalidate each other, no more.

    The cache shows no expired entry, so one that is over only goes when its room is needed. A lock needs no end of its
    own, because its owner dies with this process.
    """

    name: ClassVar[str] = "memory"
    outages: ClassVar[tuple[type[Exception], ...]] = ()
    coalesced: ClassVar[bool] = False

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._generations: dict[int, int] = {}
        self._locks: dict[str, str] = {}
        self.stored_bytes = 0  # what the entries cost, bookkeeping included

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        data = self._entries.get(key)
        if data is not None:
            self._entries.move_to_end(key)
        return Snapshot(data, await self.generations(tags))

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
        del ttl
        if release:
            await self.release(*release)
        cost = _cost(key, data)
        if cost > self._max_bytes or await self.generations(tags) != tuple(generations):
            return False
        self._remove(key)
        while self.stored_bytes + cost > self._max_bytes:
            self._remove(next(iter(self._entries)))
        self._entries[key] = data
        self.stored_bytes += cost
        return True

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(self._generations.get(_slot(tag), 0)) for tag in tags)

    async def invalidate(self, tags: Sequence[str]) -> None:
        for tag in tags:
            self._generations[_slot(tag)] = self._generations.get(_slot(tag), 0) + 1

    async def acquire(
        self, lock: str, owner: str, seconds: float, key: str, tags: Sequence[str]
    ) -> tuple[bool, Snapshot]:
        del seconds
        acquired = self._locks.setdefault(lock, owner) == owner
        return acquired, await self.read(key, tags)

    async def release(self, lock: str, owner: str) -> None:
        if self._locks.get(lock) == owner:
            del self._locks[lock]

    async def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        yield [(key, data) for key, data in self._entries.items() if key.startswith(prefix)]

    async def delete(self, keys: Sequence[str]) -> int:
        return sum(self._remove(key) for key in keys)

    async def close(self) -> None:
        self._entries.clear()
        self.stored_bytes = 0

    def _remove(self, key: str) -> bool:
        data = self._entries.pop(key, None)
        if data is None:
            return False
        self.stored_bytes -= _cost(key, data)
        return True


def _cost(key: str, data: bytes) -> int:
    return len(data) + len(key) + ENTRY_OVERHEAD_BYTES


def _slot(tag: str) -> int:
    return hash(tag) % TAG_SLOTS
