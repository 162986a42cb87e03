"""The servers' log files: kept small, and read for the one line that explains a failure."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

MAX_BYTES = 20 * 1024 * 1024
TAIL_BYTES = 16 * 1024

_TELLING = re.compile(r"FATAL|PANIC|ERROR|[Ee]rror|No space left|could not|[Cc]an't|Could not")


def open_log(path: Path) -> int:
    """A descriptor to hand to a server as its output; opened by us, so the server needs no access to the folder."""
    bound_log(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def bound_log(path: Path) -> None:
    """Moves a large log aside as `.1`, by copying: a running server goes on appending to the emptied file."""
    if path.exists() and path.stat().st_size > MAX_BYTES:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def text_since(path: Path, start: int) -> str:
    """What was logged after `start`, from the end if that is much; empty when there is no file."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(start, size_of(path) - TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def telling_line(path: Path, start: int = 0) -> str:
    """The last line after `start` that names a failure, else the last line."""
    lines = [line.strip() for line in text_since(path, start).splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines or ["nothing was logged"])[-1]
