"""`cli.py up | down | demo`: the whole stack as one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import typer
from rich.console import Console

from fastapi_ignite.cli import walkthrough
from fastapi_ignite.cli.processes import Port, Workers, require_free_port
from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.db.migrations import PROJECT_ROOT
from fastapi_ignite.infra.services import open_services
from fastapi_ignite.infra.supervisor import ChildProcess, Supervisor

START_SECONDS = 90
STOP_SECONDS = 40
LAST_PORT_OFFSET = 50


class StackNotRunningError(ConfigurationError):
    """`down` with nothing to stop."""


class StackRunningError(ConfigurationError):
    """`up` on a data folder that has a stack."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("demo")(demo)


def up(port: Port = None, workers: Workers = 1) -> None:
    """Run everything in front: servers, migrations, API, worker and scheduler. Ctrl-C stops it."""
    settings = get_settings()
    number = port or settings.app.port
    settings.require_safe_address(settings.app.host)
    with _stack_lock(settings, number):
        require_free_port(settings.app.host, number)
        with open_services(settings) as services:
            migrations.upgrade(services.addresses)
            children = [
                _child("api", "--port", str(number), "--workers", str(workers)),
                _child("worker"),
                *([_child("scheduler")] if settings.scheduler.enabled else []),
            ]
            url = _url(settings, number)
            typer.echo(f"Starting {url} (API pages: {url}{settings.app.api_prefix}/docs)")
            code = Supervisor(children, heartbeat=services.heal).run()
    sys.exit(code)


def down() -> None:
    """Stop what `up` or `demo` started on this data folder, and wait until it is gone."""
    settings = get_settings()
    pid = _running_pid(settings)
    if pid is None:
        typer.echo("Nothing is running.")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _running_pid(settings) == pid:
        if time.monotonic() > deadline:
            raise UnavailableError(f"process {pid} has not stopped after {STOP_SECONDS} s; see {_log_file(settings)}")
        time.sleep(0.1)
    typer.echo("Stopped.")


def demo() -> None:
    """Start everything in the background, ingest the samples, ask a question, and leave it running."""
    console = Console(highlight=False)
    settings = get_settings()
    started = time.monotonic()
    port = _running_port(settings)
    if port is None:
        with console.status("Starting PostgreSQL, Valkey, API, worker and scheduler"):
            port = _start_in_background(settings)
        console.print(f"Started in {time.monotonic() - started:.1f} s; log: {_log_file(settings)}")
    else:
        console.print("The stack is running already.")
    walkthrough.run(console, f"{_url(settings, port)}{settings.app.api_prefix}/v1", PROJECT_ROOT / "samples", settings)
    console.print(f"\nAPI pages  {_url(settings, port)}{settings.app.api_prefix}/docs")
    console.print("Stop it    make down")


def _child(command: str, *options: str) -> ChildProcess:
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return ChildProcess(
        name=command,
        argv=(sys.executable, "-m", "fastapi_ignite.cli", command, *options),
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
    )


def _url(settings: Settings, port: int) -> str:
    host = "127.0.0.1" if settings.app.host in {"0.0.0.0", "::"} else settings.app.host  # noqa: S104  only compared
    return f"http://{host}:{port}"


def _run_folder(settings: Settings) -> Path:
    folder = settings.ignite.data_dir / "run"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _log_file(settings: Settings) -> Path:
    return settings.ignite.data_dir / "logs" / "up.log"


@contextlib.contextmanager
def _stack_lock(settings: Settings, port: int) -> Iterator[None]:
    """One stack a data folder. The lock goes with its process, however that ends; the file says pid and port."""
    with (_run_folder(settings) / "stack.lock").open("a+") as lock:
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


def _running(settings: Settings) -> tuple[int, int] | None:
    path = settings.ignite.data_dir / "run" / "stack.lock"
    if not path.is_file():
        return None
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, port = lock.read().partition(" ")
            return (int(pid), int(port)) if pid and port else None
    return None


def _running_pid(settings: Settings) -> int | None:
    running = _running(settings)
    return running[0] if running else None


def _running_port(settings: Settings) -> int | None:
    running = _running(settings)
    if running is None:
        return None
    _wait_until_healthy(settings, running[1], None)
    return running[1]


def _start_in_background(settings: Settings) -> int:
    port = _free_port(settings)
    log_path = _log_file(settings)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    source = str(Path(__file__).resolve().parents[2])
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  our own program
            (sys.executable, "-m", "fastapi_ignite.cli", "up", "--port", str(port)),
            env={**os.environ, "PYTHONPATH": source},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _wait_until_healthy(settings, port, process)
    return port


def _free_port(settings: Settings) -> int:
    """PORT, or the next one that is free: a demo should not fail over a number."""
    for port in range(settings.app.port, settings.app.port + LAST_PORT_OFFSET):
        with contextlib.suppress(ConfigurationError):
            require_free_port(settings.app.host, port)
            return port
    raise ConfigurationError(f"no port from {settings.app.port} on is free; set PORT")


def _wait_until_healthy(settings: Settings, port: int, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    address = f"{_url(settings, port)}{settings.app.api_prefix}/v1/health"
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(address, timeout=2).is_success:
                return
        if process is not None and process.poll() is not None:
            raise UnavailableError(f"the stack ended while it started: {_last_line(settings)} ({_log_file(settings)})")
        time.sleep(0.1)
    raise UnavailableError(f"the stack does not answer after {START_SECONDS} s; see {_log_file(settings)}")


def _last_line(settings: Settings) -> str:
    lines = _log_file(settings).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
