"""Gives the streams of an OLE compound file, in which Office before 2007 and Outlook keep theirs."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from olefile import OleFileIO  # type: ignore[import-untyped]  # it has no stubs of its own

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

Path = tuple[str, ...]
# What olefile raises for damage: its own errors are OSErrors, the others come from headers that lie.
_DAMAGE: Final = (OSError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, struct.error)
# Streams may share sectors in a hostile file; honest ones together are no longer than the file.
_MOST_READ: Final = 4
_MOST_ENTRIES: Final = 20_000


class OleStreams:
    """The streams of one file by their paths. Names are compared without regard to case.

    Every method raises an `ExtractionError` where the file is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._left = _MOST_READ * len(data)
        try:
            self._file = OleFileIO(io.BytesIO(data))
            found = self._file.listdir(streams=True, storages=False)
        except _DAMAGE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
        if len(found) > _MOST_ENTRIES:
            raise ExtractionError(ErrorCode.TOO_LARGE)
        self._paths: dict[Path, list[str]] = {tuple(map(str.lower, path)): path for path in found}
        self._folders: dict[Path, dict[str, None]] = {}
        for path in self._paths:
            for depth in range(1, len(path)):
                self._folders.setdefault(path[: depth - 1], {})[path[depth - 1]] = None

    def read(self, *path: str) -> bytes | None:
        """Return the bytes of a stream, or None if there is none of this path."""
        found = self._paths.get(tuple(map(str.lower, path)))
        if found is None:
            return None
        try:
            content = bytes(self._file.openstream(found).read())
        except _DAMAGE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
        self._left -= len(content)
        if self._left < 0:
            raise ExtractionError(ErrorCode.CORRUPT_FILE)
        return content

    def folders(self, path: Sequence[str], prefix: str) -> Iterator[str]:
        """Yield the names of the folders in a folder which begin with `prefix`, sorted."""
        for name in sorted(self._folders.get(tuple(map(str.lower, path)), ())):
            if name.startswith(prefix.lower()):
                yield name

    def __contains__(self, path: Sequence[str]) -> bool:
        return tuple(map(str.lower, path)) in self._paths
