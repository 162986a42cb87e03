"""How much room is left for uploads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastapi_ignite.core.config import Settings

DiskState = Literal["ok", "low", "full"]


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """What the file system would give to this user. Some file systems do not count files."""

    bytes_free: int
    without_files: bool

    def state(self, settings: Settings) -> DiskState:
        """`full`: the largest file that may be uploaded does not fit, or no file at all."""
        if self.without_files or self.bytes_free < settings.upload.max_file_bytes:
            return "full"
        return "low" if self.bytes_free < settings.ignite.low_disk_bytes else "ok"


def free_space(folder: Path) -> FreeSpace:
    """Of the folder, or where it would be made. Blocks where a network file system does not answer.

    Raises:
        OSError: the folder cannot be looked at.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    status = os.statvfs(existing)
    return FreeSpace(status.f_bavail * status.f_frsize, without_files=status.f_files > 0 and status.f_favail == 0)
