"""Values in a folder of this machine, shared by its processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from fastapi_ignite.infra.cache.backend import Snapshot
from fastapi_ignite.infra.cache.coalesced_reads import CoalescedReads
from fastapi_ignite.infra.cache.file_entries import EntryFiles
from fastapi_ignite.infra.cache.file_generations import GenerationFile
from fastapi_ignite.infra.cache.file_locks import FileLock

THREADS = 4  # its own, so that a disk that hangs takes no thread from anyone else
PAGE = 100
T = TypeVar("T")


class FileBackend:
    """Bounded in bytes on the disk. No name of a file is made from a key; half a write is never seen.

    A lock is the kernel's and ends with its process, so `seconds` is not needed here.
    """

    name: ClassVar[str] = "file"
    outages: ClassVar[tuple[type[Exception], ...]] = (OSError,)

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._entries = EntryFiles(folder, max_bytes=max_bytes)
        self._generations = GenerationFile(folder / "generations")
        self._locks_folder = folder / "locks"
        self._locks: dict[tuple[str, str], FileLock] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="file-cache")
        self._reads = CoalescedReads(self._read)
        self._sweep: Future[None] | None = None

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        """Once for all who ask at the moment."""
        return await self._reads.read(key, tags)

    async def _read(self, key: str, tags: Sequence[str]) -> Snapshot:
        return await self._run(lambda: Snapshot(self._entries.read(key), self._generations.read(tags)))

    async def write(self, key: str, data: bytes, ttl: float, tags: Sequence[str], generations: Sequence[str]) -> bool:
        """An invalidation between the comparison and the write leaves an entry that names an old generation."""

        def write() -> bool:
            if self._generations.read(tags) != tuple(generations):
                return False
            return self._entries.write(key, data, ttl)

        stored = await self._run(write)
        if self._entries.crowded and (self._sweep is None or self._sweep.done()):
            self._sweep = self._threads.submit(self._entries.sweep)
        return stored

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        """A tag that was never invalidated has one too."""
        return await self._run(lambda: self._generations.read(tags))

    async def invalidate(self, tags: Sequence[str]) -> None:
        """On the disk before it returns."""
        await self._run(lambda: self._generations.advance(tags))

    async def acquire(self, lock: str, owner: str, seconds: float) -> bool:
        """`seconds` is for backends that cannot see an owner die."""
        del seconds
        attempt = FileLock(self._locks_folder / hashlib.sha256(lock.encode()).hexdigest())
        try:
            taken = await self._run(attempt.take)
        except asyncio.CancelledError:
            # the thread may have it by now or get it yet
            self._threads.submit(attempt.drop)
            raise
        if taken:
            self._locks[lock, owner] = attempt
        return taken

    async def release(self, lock: str, owner: str) -> None:
        """Nobody else can hold it under this owner."""
        held = self._locks.pop((lock, owner), None)
        if held is not None:
            await self._run(held.drop)

    async def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Reads every entry: for an operator's command, not for a request."""
        paths = await self._run(self._entries.paths)
        for start in range(0, len(paths), PAGE):
            page = await self._run(partial(self._entries.read_all, paths[start : start + PAGE]))
            yield [(key, data) for key, data in page if key.startswith(prefix)]

    async def delete(self, keys: Sequence[str]) -> int:
        """The bytes are free at once."""
        return await self._run(lambda: sum(self._entries.delete(key) for key in keys))

    async def close(self) -> None:
        """Leaves the entries for the next process."""
        await self._reads.close()
        for lock in self._locks.values():
            lock.drop()
        self._locks.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._generations.close()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
