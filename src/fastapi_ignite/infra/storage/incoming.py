"""Files that arrive with a request: what reads them, and where they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi_ignite.infra.storage.base import StoredObject, UploadWriter


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that arrived whole."""

    filename: str
    stored: StoredObject


class UploadTarget(Protocol):
    """It stores the files of a request's body. An error that it raises ends the reading."""

    async def begin_file(self) -> UploadWriter:
        """Return a writer for the next file."""
        ...

    async def make_room(self, byte_count: int) -> None:
        """Get ready for so many more bytes, which are written next."""
        ...


class UploadBody(Protocol):
    """A body with files that is read once, file by file."""

    @property
    def received(self) -> Sequence[ReceivedFile]:
        """The files that are in storage so far."""
        ...

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of the other fields, by their names, so far."""
        ...

    def declared_bytes(self) -> int | None:
        """Return the declared length of the body, which is a little more than that of its files, or None."""
        ...

    async def read(self, target: UploadTarget) -> Sequence[ReceivedFile]:
        """Write every file to the target, and return the files in order."""
        ...
