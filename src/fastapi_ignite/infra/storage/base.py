"""What a storage must do. Keys are made of ids, never of names that callers choose."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What arrived."""

    key: str
    byte_count: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ListedObject:
    """What is in storage under a key, and since when."""

    key: str
    stored_at: datetime


class UploadWriter(Protocol):
    """One object on its way in. Nothing is visible under its key before `finish`."""

    @property
    def byte_count(self) -> int:
        """Bytes written so far."""
        ...

    async def write(self, data: bytes) -> None:
        """Append."""
        ...

    async def finish(self) -> StoredObject:
        """Make it durable and visible."""
        ...

    async def abort(self) -> None:
        """Leave nothing behind. Harmless after `finish`."""
        ...


class Storage(Protocol):
    """Local disk or an object store."""

    async def writer(self, key: str) -> UploadWriter:
        """Begin an object."""
        ...

    def local_copy(self, key: str) -> AbstractAsyncContextManager[Path]:
        """The object as a file on this machine, for as long as the context is open.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    async def read(self, key: str) -> AsyncGenerator[bytes]:
        """The object in blocks; nothing is held open once they are all read or forgotten.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    def objects(self, *, after: str) -> AsyncGenerator[list[ListedObject]]:
        """Everything whose key comes after this one, in pages, in the order of the keys' bytes.

        What is stored or removed meanwhile may be listed or not.
        """
        ...

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that is gone already is no error."""
        ...
