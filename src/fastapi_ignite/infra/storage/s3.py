"""Store objects in a bucket of an S3-compatible object store."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import obstore

from fastapi_ignite.core.connection_sections import S3Settings
from fastapi_ignite.infra.storage.base import ListedObject
from fastapi_ignite.infra.storage.free_space import free_space
from fastapi_ignite.infra.storage.local import remove_old_files
from fastapi_ignite.infra.storage.s3_bucket import Bucket
from fastapi_ignite.infra.storage.s3_errors import ObjectStoreError, disk_errors
from fastapi_ignite.infra.storage.s3_unfinished import remove_unfinished
from fastapi_ignite.infra.storage.s3_writer import S3Writer

if TYPE_CHECKING:  # the library has this type for type checkers only
    from obstore import GetResult

READ_BYTES = 256 * 1024
PAGE_OBJECTS = 1000
# No object has this key. The answer tells whether the bucket is there and whether we may list it.
NO_KEY = "no-such-object"


class S3Storage:
    """Objects under `prefix/KEY` of a bucket. Parsers read copies in the folder `copies` of this machine."""

    def __init__(self, settings: S3Settings, copies: Path) -> None:
        self._bucket = Bucket(settings)
        self._store = self._bucket.client()
        self._copies = copies

    async def writer(self, key: str) -> S3Writer:
        return S3Writer(self._store, key)

    @asynccontextmanager
    async def local_copy(self, key: str) -> AsyncGenerator[Path]:
        """Download the object into a file that only this user can read. The file is removed at the end."""
        found = await self._get(key)
        size = found.meta["size"]
        path = await asyncio.to_thread(self._new_file, size)
        try:
            await self._download(found, path, size)
            yield path
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _new_file(self, size: int) -> Path:
        self._copies.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_old_files(self._copies)  # of a worker that was killed; the periodic job may run on another machine
        if free_space(self._copies).bytes_free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        number, name = tempfile.mkstemp(dir=self._copies)  # mode 0600
        os.close(number)
        return Path(name)

    async def _download(self, found: GetResult, path: Path, size: int) -> None:
        received = 0
        with path.open("wb", buffering=0) as file:
            async with aclosing(_blocks(found)) as blocks:
                async for block in blocks:
                    received += len(block)
                    await asyncio.to_thread(file.write, block)
        if received != size:
            raise ObjectStoreError(f"S3: {received} bytes came of an object of {size}")

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """Begin the download at once, so that a missing object raises before a response has begun."""
        if start == 0 and length is None:
            return _blocks(await self._get(key))
        size = await self._size(key)
        stop = size if length is None else min(start + length, size)
        return _blocks(await self._get(key, start, stop) if start < stop else None)

    async def objects(self, *, after: str) -> AsyncGenerator[list[ListedObject]]:
        """List the bucket. S3 returns keys in the order of their bytes."""
        with disk_errors():
            async for page in obstore.list(self._store, offset=after or None, chunk_size=PAGE_OBJECTS):
                yield [ListedObject(each["path"], each["last_modified"]) for each in page]

    async def exists(self, key: str) -> bool:
        try:
            await self._size(key)
        except FileNotFoundError:
            return False
        return True

    async def delete(self, key: str) -> None:
        with disk_errors():
            await obstore.delete_async(self._store, key)

    async def remove_abandoned(self) -> int:
        """Remove copies on this machine, and unfinished multipart uploads that began a day ago."""
        copies = await asyncio.to_thread(remove_old_files, self._copies)
        return copies + await remove_unfinished(self._bucket)

    async def check(self) -> None:
        """Read an object that does not exist: only with the right to list a bucket does S3 say so."""
        try:
            await self._get(NO_KEY)
        except FileNotFoundError:
            return

    async def _get(self, key: str, start: int = 0, end: int | None = None) -> GetResult:
        with disk_errors():
            if end is None:
                return await obstore.get_async(self._store, key)
            return await obstore.get_async(self._store, key, options={"range": (start, end)})

    async def _size(self, key: str) -> int:
        """Return the size. The answer to this request has no body, so a missing bucket looks like a missing object."""
        try:
            with disk_errors():
                return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            await self.check()
            raise


async def _blocks(found: GetResult | None) -> AsyncGenerator[bytes]:
    """Yield the bytes; those of no answer are none, because S3 refuses to send an empty range."""
    if found is None:
        return
    with disk_errors():
        async for block in found.stream(min_chunk_size=READ_BYTES):
            yield block
