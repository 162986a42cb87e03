"""Generations of tags in one file of a fixed size."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

SLOTS = 65_536
SLOT_BYTES = 8


class GenerationFile:
    """A tag's generation is a random number in the slot its hash gives; two tags in one slot invalidate each other.

    The number is on the disk before an invalidation returns: after a crash no old one comes back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._opening = threading.Lock()

    def read(self, tags: Sequence[str]) -> tuple[str, ...]:
        """One small read a tag."""
        file = self._open()
        return tuple(os.pread(file, SLOT_BYTES, _offset(tag)).hex() for tag in tags)

    def advance(self, tags: Sequence[str]) -> None:
        """New numbers."""
        file = self._open()
        for tag in tags:
            os.pwrite(file, secrets.token_bytes(SLOT_BYTES), _offset(tag))
        os.fdatasync(file)

    def close(self) -> None:
        """Other processes keep theirs open."""
        with self._opening:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _open(self) -> int:
        with self._opening:
            if self._file is None or os.fstat(self._file).st_nlink == 0:
                self._reopen()
            assert self._file is not None  # noqa: S101  for the type checker
            return self._file

    def _reopen(self) -> None:
        """Also when the folder was removed under us. A new file starts with numbers no entry has."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        partial.write_bytes(secrets.token_bytes(SLOTS * SLOT_BYTES))
        try:
            os.link(partial, self._path)  # fails where another process was first
        except FileExistsError:
            pass
        finally:
            partial.unlink()
        self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)


def _offset(tag: str) -> int:
    digest = hashlib.blake2b(tag.encode(), digest_size=4).digest()
    return int.from_bytes(digest) % SLOTS * SLOT_BYTES
