"""The interface of a storage. Keys consist of ids, and never of names that callers choose."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

# tenant, project or kind, object
_TENANT_OBJECT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[^/]+/[^/]+")


def is_tenant_object(key: str) -> bool:
    """Tell whether we wrote the object; what somebody else put into the storage has another key, and stays."""
    return _TENANT_OBJECT.fullmatch(key) is not None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A complete object in storage, with its size and hash."""

    key: str
    byte_count: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as `objects` lists it."""

    key: str
    stored_at: datetime


class UploadWriter(Protocol):
    """Writes one object. Nothing is visible under its key before `finish`."""

    @property
    def byte_count(self) -> int:
        """Return the number of bytes written so far."""
        ...

    async def write(self, data: bytes) -> None:
        """Append the data."""
        ...

    async def finish(self) -> StoredObject:
        """Make the object durable and visible."""
        ...

    async def abort(self) -> None:
        """Remove what was written. After `finish` it does nothing."""
        ...


class Storage(Protocol):
    """A local disk or an object store.

    Every method raises an OSError when the storage is away, refuses access or is full; `outage_of` recognises it.
    """

    async def writer(self, key: str) -> UploadWriter:
        """Return a writer for a new object."""
        ...

    def local_copy(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Provide the object as a file on this machine until the context ends.

        Raises:
            FileNotFoundError: there is no object with this key.
        """
        ...

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """Return the object in blocks, or `length` bytes of it from the offset `start` on.

        The file is closed after the last block, or when the generator is closed.

        Raises:
            FileNotFoundError: there is no object with this key.
        """
        ...

    def objects(self, *, after: str) -> AsyncGenerator[list[ListedObject]]:
        """List all objects with a key greater than `after`, in pages, in the byte order of the keys.

        Objects that are stored or removed meanwhile may be listed or not.
        """
        ...

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object with this key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object. It is no error if there is none."""
        ...

    async def remove_abandoned(self) -> int:
        """Remove the unfinished objects that a crash left behind, and return their number."""
        ...

    def __hash__(self) -> int:
        """Two storages are equal only if they are the same object."""
        ...

    async def check(self) -> None:
        """Do nothing if objects can be listed.

        Raises:
            OSError: The storage cannot be used. The message says why.
        """
        ...
