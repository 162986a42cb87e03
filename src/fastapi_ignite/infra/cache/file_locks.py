"""Locks that the kernel takes back when their process dies."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path


class FileLock:
    """One attempt at one lock; safe to drop while another thread is still taking it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._dropped = False
        self._guard = threading.Lock()

    def take(self) -> bool:
        """Never waits."""
        with self._guard:
            if self._dropped:
                return False
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self._is_at_path(file):
                    raise BlockingIOError  # its last owner removed it between our two calls
            except BaseException as error:
                os.close(file)
                if isinstance(error, BlockingIOError):
                    return False
                raise
            self._file = file
            return True

    def drop(self) -> None:
        """Removes the file while it is still ours: another process that opened it sees that it is gone."""
        with self._guard:
            self._dropped = True
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    def _is_at_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False
