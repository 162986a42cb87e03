"""Measure the free space for uploads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastapi_ignite.core.config import Settings

DiskState = Literal["ok", "low", "full"]


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """The space that the file system has left for this user. Some file systems do not limit the number of files."""

    bytes_free: int
    without_files: bool

    def state(self, settings: Settings) -> DiskState:
        """Return `full` if the largest allowed upload does not fit, `low` if little space is left, else `ok`."""
        if self.without_files or self.bytes_free < settings.upload.max_file_bytes:
            return "full"
        return "low" if self.bytes_free < settings.ignite.low_disk_bytes else "ok"


def free_space(folder: Path) -> FreeSpace:
    """Measure the file system of the folder, which need not exist. It blocks while a network file system is away.

    Raises:
        OSError: the folder cannot be examined.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    status = os.statvfs(existing)
    return FreeSpace(status.f_bavail * status.f_frsize, without_files=status.f_files > 0 and status.f_favail == 0)
