"""Writes a zip archive into storage from front to back, one block at a time."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import datetime
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from fastapi_ignite.infra.storage import UploadWriter


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was written into the archive."""

    name: str
    byte_count: int
    sha256: str


class _Pipe(io.RawIOBase):
    """Holds what `ZipFile` writes until it is fetched. It cannot seek, so `ZipFile` writes sizes after each entry."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # what a zip writes
        self._written += data
        return len(data)

    def fetch(self) -> bytes:
        """Return what was written since the last call."""
        written = bytes(self._written)
        self._written.clear()
        return written


class Archive:
    """An archive being written. It holds one block in memory, and a few hundred bytes for each entry until the end.

    Compression runs in a thread.
    """

    def __init__(self, target: UploadWriter, *, dated: datetime) -> None:
        self._target = target
        self._dated = dated
        self._pipe = _Pipe()
        self._zip = ZipFile(self._pipe, "w", ZIP_DEFLATED)

    async def add(self, name: str, blocks: AsyncIterable[bytes]) -> Entry:
        info = ZipInfo(name, self._dated.timetuple()[:6])
        info.compress_type = ZIP_DEFLATED
        digest, byte_count = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as entry:
            async for block in blocks:
                digest.update(block)
                byte_count += len(block)
                await asyncio.to_thread(entry.write, block)
                await self._target.write(self._pipe.fetch())
        return Entry(name, byte_count, digest.hexdigest())

    async def finish(self) -> None:
        """Write the directory of the zip. The caller still has to finish the target."""
        await asyncio.to_thread(self._zip.close)
        await self._target.write(self._pipe.fetch())

    def discard(self) -> None:
        """Write nothing more. Otherwise `ZipFile` would write its directory when it is garbage-collected."""
        self._zip.fp = None
