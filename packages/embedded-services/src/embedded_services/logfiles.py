"""Log files of the servers and of a stack in the background: kept small, and read for the line that tells a failure."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 5
TAIL_BYTES = 16 * 1024

_TELLING = re.compile(r"FATAL|PANIC|ERROR|[Ee]rror|No space left|could not|[Cc]an't|Could not")


def open_log(path: Path) -> int:
    """A descriptor to hand to a server as its output; opened by us, so the server needs no access to the folder."""
    bound_log(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def bound_log(path: Path) -> None:
    """Moves a large log aside as `.1`, the one of before as `.2`, and so on to `.5`.

    By copying: a running server goes on appending to the emptied file. On a full disk the log stays as it is, and is
    tried again at the next call.
    """
    if size_of(path) <= MAX_BYTES:
        return
    copy = path.with_name(f"{path.name}.new")
    try:
        shutil.copyfile(path, copy)
        copy.chmod(0o600)
    except OSError:
        copy.unlink(missing_ok=True)
        return
    for number in range(KEPT - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _older(path, number).replace(_older(path, number + 1))
    copy.replace(_older(path, 1))
    os.truncate(path, 0)


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


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
