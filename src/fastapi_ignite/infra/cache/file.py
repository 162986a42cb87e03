"""Values in a folder of this machine, shared by its processes."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from hashlib import blake2b, sha256
from io import FileIO
from pathlib import Path
from typing import ClassVar, TypeVar

from fastapi_ignite.infra.cache.backend import LockOwner, Snapshot
from fastapi_ignite.infra.cache.file_entries import EntryFiles, acquire_lock, release_lock, write_file

THREADS = 4  # its own, so that a disk that hangs takes no thread from anyone else
PAGE = 100
TAG_SLOTS = 65_536
SLOT_BYTES = 8
T = TypeVar("T")


class FileBackend:
    """Bounded in bytes on the disk. A lock is the kernel's and ends with its process."""

    name: ClassVar[str] = "file"
    outages: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    coalesced: ClassVar[bool] = True

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._entries = EntryFiles(folder, max_bytes=max_bytes)
        self._generations = GenerationFile(folder / "generations")
        self._lock_folder = folder / "locks"
        self._locks: dict[tuple[str, str], FileIO] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="file-cache")
        self._sweep: Future[None] | None = None

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        return await self._run(lambda: Snapshot(self._entries.read(key), self._generations.read(tags)))

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
        def write() -> bool:
            # an invalidation between the comparison and the write leaves an entry that names an old generation
            stored = self._generations.read(tags) == tuple(generations) and self._entries.write(key, data, ttl)
            if release:
                self._release(*release)
            return stored

        stored = await self._run(write)
        if self._entries.crowded and (self._sweep is None or self._sweep.done()):
            self._sweep = self._threads.submit(self._entries.sweep)
        return stored

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        return await self._run(lambda: self._generations.read(tags))

    async def invalidate(self, tags: Sequence[str]) -> None:
        await self._run(lambda: self._generations.advance(tags))

    async def acquire(
        self, lock: str, owner: str, seconds: float, key: str, tags: Sequence[str]
    ) -> tuple[bool, Snapshot]:
        del seconds

        def acquire() -> bool:
            file = acquire_lock(self._lock_path(lock))
            if file is not None:
                self._locks[lock, owner] = file
            return file is not None

        acquiring = self._threads.submit(acquire)
        try:
            acquired = await asyncio.wrap_future(acquiring)
        except asyncio.CancelledError:
            # the thread may have the lock by now or get it yet
            acquiring.add_done_callback(lambda _: self._release(lock, owner))
            raise
        return acquired, await self.read(key, tags)

    async def release(self, lock: str, owner: str) -> None:
        await self._run(lambda: self._release(lock, owner))

    def _release(self, lock: str, owner: str) -> None:
        if file := self._locks.pop((lock, owner), None):
            release_lock(self._lock_path(lock), file)

    def _lock_path(self, lock: str) -> Path:
        return self._lock_folder / sha256(lock.encode()).hexdigest()

    async def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        paths = await self._run(self._entries.paths)
        for start in range(0, len(paths), PAGE):
            found = await self._run(partial(self._entries.read_all, paths[start : start + PAGE]))
            yield [(key, data) for key, data in found if key.startswith(prefix)]

    async def delete(self, keys: Sequence[str]) -> int:
        return await self._run(lambda: sum(self._entries.delete(key) for key in keys))

    async def close(self) -> None:
        """Give back threads and locks. The entries stay for the next process."""
        for lock, owner in list(self._locks):
            self._release(lock, owner)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class GenerationFile:
    """A tag's generation is a random number in the slot its hash gives; two tags in one slot invalidate each other.

    The number is on the disk before an invalidation returns: after a crash no old one comes back. A file that is made
    anew, because its folder was removed, begins with numbers that no entry has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, tags: Sequence[str]) -> tuple[str, ...]:
        with self._open() as file:
            return tuple(os.pread(file.fileno(), SLOT_BYTES, _offset(tag)).hex() for tag in tags)

    def advance(self, tags: Sequence[str]) -> None:
        with self._open() as file:
            for tag in tags:
                os.pwrite(file.fileno(), secrets.token_bytes(SLOT_BYTES), _offset(tag))
            os.fdatasync(file.fileno())

    def _open(self) -> FileIO:
        try:
            return FileIO(self._path, "r+")
        except FileNotFoundError:
            write_file(self._path, secrets.token_bytes(TAG_SLOTS * SLOT_BYTES))
            return FileIO(self._path, "r+")


def _offset(tag: str) -> int:
    return int.from_bytes(blake2b(tag.encode(), digest_size=4).digest()) % TAG_SLOTS * SLOT_BYTES
