"""Store objects in a folder of this machine."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.storage.base import ListedObject, StoredObject
from fastapi_ignite.infra.storage.free_space import free_space

BUFFER_BYTES = 1024 * 1024
READ_BYTES = 256 * 1024
ABANDONED_AFTER_SECONDS = 3600
PAGE_OBJECTS = 1000


class LocalWriter:
    """Writes to a temporary file and renames it, so that a crash leaves no incomplete object under the key."""

    def __init__(self, root: Path, partial: Path, target: Path, key: str) -> None:
        self._root = root
        self._partial = partial
        self._target = target
        self._key = key
        self._file: BinaryIO | None = None
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self.byte_count = 0

    async def write(self, data: bytes) -> None:
        """Append the data. It is written to the disk in blocks of a megabyte."""
        self._buffer += data
        self.byte_count += len(data)
        if len(self._buffer) >= BUFFER_BYTES:
            await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        if self._file is None:
            self._root.mkdir(parents=True, exist_ok=True)
            _forbid_access_by_others(self._root)
            self._partial.parent.mkdir(exist_ok=True)
            self._file = self._partial.open("wb")
        self._hash.update(self._buffer)
        self._file.write(self._buffer)
        self._buffer.clear()

    async def finish(self) -> StoredObject:
        """Sync the file and its folder, so that an accepted object is durable."""
        await asyncio.to_thread(self._finish)
        return StoredObject(self._key, self.byte_count, self._hash.digest())

    def _finish(self) -> None:
        self._flush()
        if self._file is not None:
            self._file.flush()  # writes Python's buffer, which `fsync` does not include
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._partial.rename(self._target)
        try:
            _sync_folder(self._target.parent)
        except OSError:
            self._target.unlink(missing_ok=True)
            raise

    async def abort(self) -> None:
        await asyncio.to_thread(self._abort)

    def _abort(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # closing writes the buffer, which a full disk refuses again
                self._file.close()
            self._file = None
        self._partial.unlink(missing_ok=True)


class LocalStorage:
    """Objects under `root/objects/KEY`, uploads in progress under `root/incoming`."""

    def __init__(self, root: Path) -> None:
        if root.exists():
            _forbid_access_by_others(root)
        self._root = root
        self._objects = root / "objects"
        self._incoming = root / "incoming"

    async def writer(self, key: str) -> LocalWriter:
        return LocalWriter(self._root, self._incoming / str(new_id()), self._objects / key, key)

    @asynccontextmanager
    async def local_copy(self, key: str) -> AsyncGenerator[Path]:
        """Provide the path of the object itself. Nothing is copied."""
        yield self._objects / key

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """Read the first block at once, so that a missing object raises before a response has begun."""
        blocks = _blocks(self._objects / key, start, length)
        return _resume(await anext(blocks, b""), blocks)

    async def objects(self, *, after: str) -> AsyncGenerator[list[ListedObject]]:
        """Walk through the folders. Only the names of one path of folders are in memory."""
        found = _walk(self._objects, "", after)
        while page := await asyncio.to_thread(lambda: list(islice(found, PAGE_OBJECTS))):
            yield page

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread((self._objects / key).is_file)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread((self._objects / key).unlink, missing_ok=True)

    async def remove_abandoned(self) -> int:
        return await asyncio.to_thread(remove_old_files, self._incoming)

    async def check(self) -> None:
        """Examine the folder. It blocks a thread while a network file system is away."""
        await asyncio.to_thread(free_space, self._root)


def remove_old_files(folder: Path) -> int:
    """Remove temporary files that nobody has written to for an hour, and return their number."""
    oldest = time.time() - ABANDONED_AFTER_SECONDS
    removed = 0
    for partial in folder.glob("*"):
        with suppress(FileNotFoundError):  # it was finished, or removed by another process, after it was listed
            if partial.stat().st_mtime < oldest:
                partial.unlink()
                removed += 1
    return removed


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _walk(folder: Path, prefix: str, after: str) -> Iterator[ListedObject]:
    """Yield objects in the order of their whole keys, so a folder is compared by its name with a `/`."""
    try:
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return
    for name in names:
        key = prefix + name
        if name.endswith("/"):
            if key > after or after.startswith(key):
                yield from _walk(folder / name, key, after)
        elif key > after:
            with suppress(FileNotFoundError):  # it was removed after it was listed
                yield ListedObject(key, datetime.fromtimestamp((folder / name).stat().st_mtime, UTC))


def _forbid_access_by_others(folder: Path) -> None:
    """Remove the permissions of other users. The group keeps its own, in case the operator has granted some."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IRWXO:
        folder.chmod(mode & ~stat.S_IRWXO)


async def _blocks(path: Path, start: int, length: int | None) -> AsyncGenerator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        file.seek(start)
        left = length
        while block := await asyncio.to_thread(file.read, READ_BYTES if left is None else min(READ_BYTES, left)):
            yield block
            left = None if left is None else left - len(block)
    finally:
        file.close()


async def _resume(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for block in rest:
            yield block
