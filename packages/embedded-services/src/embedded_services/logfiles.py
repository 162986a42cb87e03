"""Log files of programs in the background. They are kept small, and searched for the line that names a failure."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 5
TAIL_BYTES = 16 * 1024

_FAILURE = re.compile(r"FATAL|PANIC|ERROR|[Ee]rror|No space left|could not|[Cc]an't|Could not")


def open_log(path: Path) -> int:
    """Return a descriptor for the output of a server, which then needs no access to the folder of its log."""
    rotate_log(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate_log(path: Path) -> None:
    """Copy a log of more than `MAX_BYTES` to `.1`, the former `.1` to `.2` and so on to `.5`, and empty it.

    A running server appends to the same file as before. On a full disk the log is left as it is.
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
            older_log(path, number).replace(older_log(path, number + 1))
    copy.replace(older_log(path, 1))
    os.truncate(path, 0)


def older_log(path: Path, number: int) -> Path:
    """Return the path of a log that was put aside: 1 is the newest one."""
    return path.with_name(f"{path.name}.{number}")


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def text_since(path: Path, start: int) -> str:
    """Return what was logged after position `start`, at most the last `TAIL_BYTES`; empty if there is no file."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(start, size_of(path) - TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def failure_line(path: Path, start: int = 0) -> str:
    """Return the last line after `start` that names a failure, or else the last line."""
    lines = [line.strip() for line in text_since(path, start).splitlines() if line.strip()]
    failures = [line for line in lines if _FAILURE.search(line)]
    return (failures or lines or ["nothing was logged"])[-1]
