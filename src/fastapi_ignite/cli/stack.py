"""Find the running stack of a data folder, and stop it (`cli.py down`)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from fastapi_ignite.cli.output import Json, print_result
from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError

STOP_SECONDS = 40


class StackRunningError(ConfigurationError):
    """`up` was called for a data folder on which a stack already runs."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The process id of `up`, and the port of its API."""

    pid: int
    port: int


def register(app: typer.Typer) -> None:
    app.command("down")(down)


def down(*, as_json: Json = False) -> None:
    """Stop the stack that `up` or `demo` started on this data folder, and wait until it has ended."""
    settings = get_settings()
    stack = running_stack(settings)
    if stack is None:
        print_result("Nothing is running.", {"stopped": False}, as_json=as_json)
        return
    os.kill(stack.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running_stack(settings) == stack:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"Process {stack.pid} has not stopped after {STOP_SECONDS} s. See {log_file(settings)}."
            )
        time.sleep(0.1)
    print_result("Stopped.", {"stopped": True}, as_json=as_json)


def stack_url(settings: Settings, port: int) -> str:
    """Return the URL of the API for clients on this machine."""
    host = "127.0.0.1" if settings.app.host in {"0.0.0.0", "::"} else settings.app.host  # noqa: S104  only compared
    return f"http://{host}:{port}"


def log_file(settings: Settings) -> Path:
    """Return the file with the output of a stack in the background."""
    return settings.ignite.data_dir / "logs" / "up.log"


def appended_log(settings: Settings) -> Path | None:
    """Return the log file if the output of this process is appended to it, else None."""
    path = log_file(settings)
    descriptor = 1
    try:
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        return path if appends and os.path.samestat(os.fstat(descriptor), path.stat()) else None
    except OSError:
        return None


@contextlib.contextmanager
def stack_lock(settings: Settings, port: int) -> Iterator[RunningStack | None]:
    """Hold the lock of the data folder, which allows one stack. It ends with its process; the file has pid and port.

    Yield the stack before this one if its `up` was killed. Its other processes notice that and end soon.

    Raises:
        StackRunningError: another stack holds the lock.
    """
    path = _lock_file(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackRunningError(
                f"A stack is already running on {settings.ignite.data_dir}. Stop it with 'python cli.py down', or "
                "set another IGNITE_DATA_DIR for this one."
            ) from None
        lock.seek(0)
        killed = _parse(lock.read())
        lock.truncate(0)
        lock.write(f"{os.getpid()} {port}")
        lock.flush()
        try:
            yield killed
        finally:
            lock.truncate(0)


def running_stack(settings: Settings) -> RunningStack | None:
    """Return the running stack of this data folder, or None."""
    path = _lock_file(settings)
    if not path.is_file():
        return None
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _parse(lock.read())
    return None


def _parse(content: str) -> RunningStack | None:
    pid, _, port = content.partition(" ")
    return RunningStack(int(pid), int(port)) if pid and port else None


def _lock_file(settings: Settings) -> Path:
    return settings.ignite.data_dir / "run" / "stack.lock"
