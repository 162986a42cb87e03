"""Entries as files, the bound on what they take together, and locks between processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
from collections.abc import Generator, Iterable, Iterator
from hashlib import sha256
from io import FileIO
from pathlib import Path

from fastapi_ignite.core import clock

_HEADER = struct.Struct(">4sdI")  # magic, end, length of the key
_MAGIC = b"IGC1"
_TOTAL = struct.Struct(">Q")
BLOCK_BYTES = 4096  # what the smallest file takes
HIGH_WATER = 0.9  # of the limit: time to sweep
LOW_WATER = 0.7  # what a sweep leaves


class EntryFiles:
    """The file `usage` holds an upper bound of the bytes on the disk, raised before each write.

    What would pass the limit is not stored; `sweep` makes room, away from any request.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._entries = folder / "entries"
        self._usage = folder / "usage"
        self._sweeping = folder / "sweeping"
        self._max_bytes = max_bytes
        self.crowded = True  # nobody has counted yet

    def read(self, key: str) -> bytes | None:
        found = self._read(self._path(key))
        return found[1] if found and found[0] == key else None

    def read_all(self, paths: Iterable[Path]) -> list[tuple[str, bytes]]:
        return [found for path in paths if (found := self._read(path)) is not None]

    def _read(self, path: Path) -> tuple[str, bytes] | None:
        """Return key and bytes, unless their time is over or the file is none of ours."""
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > self._max_bytes:
                    return None
                content = file.read()
            magic, expires, length = _HEADER.unpack_from(content)
        except (FileNotFoundError, struct.error):
            return None
        if magic != _MAGIC or not expires > clock.now().timestamp():
            return None  # NaN included
        start = _HEADER.size + length
        return content[_HEADER.size : start].decode(errors="replace"), content[start:]

    def write(self, key: str, data: bytes, ttl: float) -> bool:
        """Write the whole file or nothing of it. Return False where it does not fit."""
        name = key.encode()
        content = _HEADER.pack(_MAGIC, clock.now().timestamp() + ttl, len(name)) + name + data
        with self._locked_usage() as usage:
            total = _total(usage) + _cost(len(content))
            self.crowded = total > self._max_bytes * HIGH_WATER
            if total > self._max_bytes:
                return False
            os.pwrite(usage, _TOTAL.pack(total), 0)
            try:
                write_file(self._path(key), content)
            except FileNotFoundError:
                return False  # swept before it was renamed, or the folder was removed
        return True

    def delete(self, key: str) -> bool:
        """Remove an entry and return whether it was there."""
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            return False
        return True

    def paths(self) -> list[Path]:
        return [Path(found.path) for found in self._files() if not found.name.startswith(".")]

    def sweep(self) -> None:
        """Remove what was written longest ago, and count anew. One process at a time does it."""
        lock = acquire_lock(self._sweeping)
        if lock is None:
            return
        try:
            with self._locked_usage() as usage:
                before = _total(usage)
            kept = self._evict()
            with self._locked_usage() as usage:
                written_meanwhile = _total(usage) - before
                os.pwrite(usage, _TOTAL.pack(kept + written_meanwhile), 0)
            self.crowded = False
        finally:
            release_lock(self._sweeping, lock)

    def _evict(self) -> int:
        """Remove the oldest files and return the bytes that are left."""
        files: list[tuple[float, int, str]] = []
        for found in self._files():
            with contextlib.suppress(FileNotFoundError):
                status = found.stat()
                files.append((status.st_mtime, _cost(status.st_size), found.path))
        total = sum(cost for _, cost, _ in files)
        for _, cost, path in sorted(files):
            if total <= self._max_bytes * LOW_WATER:
                break
            Path(path).unlink(missing_ok=True)
            total -= cost
        return total

    def _files(self) -> Iterator[os.DirEntry[str]]:
        """Yield every file, also those that a crash left half-written."""
        with contextlib.suppress(FileNotFoundError):
            for folder in os.scandir(self._entries):
                yield from os.scandir(folder)

    def _path(self, key: str) -> Path:
        name = sha256(key.encode()).hexdigest()
        return self._entries / name[:2] / name[2:]

    @contextlib.contextmanager
    def _locked_usage(self) -> Generator[int]:
        self._usage.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._usage, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def write_file(path: Path, content: bytes) -> None:
    """Write beside the place and rename, so that nobody sees half a file; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def acquire_lock(path: Path) -> FileIO | None:
    """Return the open file of a lock that nobody held, or None. The kernel frees it when its process dies."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = FileIO(path, "a")
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file  # else its last owner removed it between our two calls
    file.close()
    return None


def release_lock(path: Path, file: FileIO) -> None:
    """Remove the file while it is still ours: another process that opened it sees that it is gone."""
    path.unlink(missing_ok=True)
    file.close()


def _total(usage: int) -> int:
    stored = os.pread(usage, _TOTAL.size, 0)
    return int(_TOTAL.unpack(stored)[0]) if len(stored) == _TOTAL.size else 0


def _cost(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
