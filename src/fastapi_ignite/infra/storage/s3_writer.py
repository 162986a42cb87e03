"""Write one object into a bucket, in parts, while its bytes arrive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import suppress

import obstore
from obstore.store import S3Store

from fastapi_ignite.infra.storage.base import StoredObject
from fastapi_ignite.infra.storage.s3_errors import disk_errors

# S3 allows 10,000 parts, so an object may have 84 GB. A writer holds at most five parts in memory.
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 2


class _AbortedError(Exception):
    """The caller gave the object up."""


class S3Writer:
    """Sends parts to the store, which makes the object visible when the last one is there.

    An object that fits into one part is sent in one request by `finish`.
    """

    def __init__(self, store: S3Store, key: str) -> None:
        self._store = store
        self._key = key
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self._parts: asyncio.Queue[bytes | _AbortedError | None] = asyncio.Queue(1)
        self._sending: asyncio.Task[None] | None = None
        self._finished = False
        self.byte_count = 0

    async def write(self, data: bytes) -> None:
        """Append the data. It waits while the store takes the parts more slowly than they come."""
        self._buffer += data
        self.byte_count += len(data)
        while len(self._buffer) >= PART_BYTES:
            part = bytes(memoryview(self._buffer)[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            await self._hash_in_thread(part)
            if self._sending is None:
                self._sending = asyncio.create_task(self._send_parts())
            await self._hand_over(part, self._sending)

    async def finish(self) -> StoredObject:
        """Wait until the store has the whole object durably."""
        last = bytes(self._buffer)
        self._buffer.clear()
        await self._hash_in_thread(last)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_whole(last))
        else:
            if last:
                await self._hand_over(last, self._sending)
            await self._hand_over(None, self._sending)
        await asyncio.shield(self._sending)
        self._finished = True
        return StoredObject(self._key, self.byte_count, self._hash.digest())

    async def abort(self) -> None:
        """End the sending, which removes the parts at the store. An object that was completed unseen is removed."""
        if self._finished or self._sending is None:
            return
        while not self._parts.empty():
            self._parts.get_nowait()
        self._parts.put_nowait(_AbortedError())
        await asyncio.wait({self._sending})
        if self._sending.cancelled() or self._sending.exception() is not None:
            return
        with disk_errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, self._key)

    async def _hash_in_thread(self, part: bytes) -> None:
        await asyncio.to_thread(self._hash.update, part)

    async def _hand_over(self, part: bytes | None, sending: asyncio.Task[None]) -> None:
        """Queue the part, unless the sending ends before there is room for it; then raise its error."""
        waiting = asyncio.create_task(self._parts.put(part))
        try:
            await asyncio.wait({waiting, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()  # it does nothing if the part is queued
        if sending.done():
            sending.result()

    async def _queued(self) -> AsyncGenerator[bytes]:
        while (part := await self._parts.get()) is not None:
            if isinstance(part, _AbortedError):
                raise part
            yield part

    async def _send_parts(self) -> None:
        with disk_errors():
            await obstore.put_async(
                self._store, self._key, self._queued(), chunk_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT
            )

    async def _send_whole(self, content: bytes) -> None:
        with disk_errors():
            await obstore.put_async(self._store, self._key, content, use_multipart=False)
