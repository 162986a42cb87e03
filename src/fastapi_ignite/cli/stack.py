"""What is known of a running stack from outside, and `cli.py down`."""

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

from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError

STOP_SECONDS = 40


class StackRunningError(ConfigurationError):
    """`up` on a data folder that has a stack."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The process of `up`, and the port its API listens on."""

    pid: int
    port: int


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("down")(down)


def down() -> None:
    """Stop what `up` or `demo` started on this data folder, and wait until it is gone."""
    settings = get_settings()
    stack = running_stack(settings)
    if stack is None:
        typer.echo("Nothing is running.")
        return
    os.kill(stack.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running_stack(settings) == stack:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"process {stack.pid} has not stopped after {STOP_SECONDS} s; see {log_file(settings)}"
            )
        time.sleep(0.1)
    typer.echo("Stopped.")


def stack_url(settings: Settings, port: int) -> str:
    """Where this machine reaches the API."""
    host = "127.0.0.1" if settings.app.host in {"0.0.0.0", "::"} else settings.app.host  # noqa: S104  only compared
    return f"http://{host}:{port}"


def log_file(settings: Settings) -> Path:
    """What a stack in the background prints."""
    return settings.ignite.data_dir / "logs" / "up.log"


def appended_log(settings: Settings) -> Path | None:
    """The log file, where this process was started in the background and its output is appended to that file."""
    path = log_file(settings)
    descriptor = 1
    try:
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        return path if appends and os.path.samestat(os.fstat(descriptor), path.stat()) else None
    except OSError:
        return None


@contextlib.contextmanager
def stack_lock(settings: Settings, port: int) -> Iterator[None]:
    """One stack a data folder. The lock goes with its process, however that ends; the file says pid and port."""
    path = _lock_file(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackRunningError(
                f"A stack is running on {settings.ignite.data_dir} already; stop it with 'python cli.py down', or "
                "give this one its own IGNITE_DATA_DIR."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} {port}")
        lock.flush()
        yield


def running_stack(settings: Settings) -> RunningStack | None:
    """The stack of this data folder, if one runs."""
    path = _lock_file(settings)
    if not path.is_file():
        return None
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, port = lock.read().partition(" ")
            return RunningStack(int(pid), int(port)) if pid and port else None
    return None


def _lock_file(settings: Settings) -> Path:
    return settings.ignite.data_dir / "run" / "stack.lock"
