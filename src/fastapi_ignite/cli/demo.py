"""`cli.py demo`: start a stack, ingest sample documents and ask a question."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import typer
from rich.console import Console

from fastapi_ignite.cli import walkthrough
from fastapi_ignite.cli.output import Json, print_json
from fastapi_ignite.cli.ports import require_free_port
from fastapi_ignite.cli.stack import log_file, running_stack, stack_url
from fastapi_ignite.core.config import PROJECT_ROOT, Settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError

from embedded_services import logfiles

START_SECONDS = 90
LAST_PORT_OFFSET = 50


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(*, as_json: Json = False) -> None:
    """Start everything in the background, ingest the sample documents, ask a question, and keep it running."""
    console = Console(highlight=False, quiet=as_json)
    settings = get_settings()
    started = time.monotonic()
    stack = running_stack(settings)
    if stack:
        console.print("The stack is already running.")
        port = stack.port
        _wait_until_healthy(settings, port)
    else:
        with console.status("Starting PostgreSQL, Valkey, API, worker and scheduler"):
            port = _start_in_background(settings)
        console.print(f"Started in {time.monotonic() - started:.1f} s; log: {log_file(settings)}")
    api = f"{stack_url(settings, port)}{settings.app.api_prefix}"
    made = walkthrough.run(console, f"{api}/v1", PROJECT_ROOT / "samples", settings)
    console.print(f"\nAPI pages  {api}/docs")
    console.print("Stop it    make down")
    if as_json:
        print_json(made)


def _start_in_background(settings: Settings) -> int:
    port = _free_port(settings)
    log_path = log_file(settings)
    log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = str(Path(__file__).resolve().parents[2])
    log = logfiles.open_log(log_path)
    log_start = logfiles.size_of(log_path)
    try:
        process = subprocess.Popen(  # noqa: S603  our own program
            (sys.executable, "-m", "fastapi_ignite.cli", "up", "--port", str(port)),
            env={**os.environ, "PYTHONPATH": source},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(log)
    _wait_until_healthy(settings, port, process, log_start)
    return port


def _free_port(settings: Settings) -> int:
    """Return PORT or the next free port, so that the demo works when PORT is in use."""
    for port in range(settings.app.port, settings.app.port + LAST_PORT_OFFSET):
        with contextlib.suppress(ConfigurationError):
            require_free_port(settings.app.host, port)
            return port
    raise ConfigurationError(
        f"No port from {settings.app.port} to {settings.app.port + LAST_PORT_OFFSET - 1} is free. Set PORT."
    )


def _wait_until_healthy(
    settings: Settings, port: int, process: subprocess.Popen[bytes] | None = None, log_start: int = 0
) -> None:
    deadline = time.monotonic() + START_SECONDS
    address = f"{stack_url(settings, port)}{settings.app.api_prefix}/v1/health"
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(address, timeout=2).is_success:
                return
        if process is not None and process.poll() is not None:
            reason = logfiles.failure_line(log_file(settings), log_start)
            raise UnavailableError(f"The stack stopped during its start: {reason} ({log_file(settings)})")
        time.sleep(0.1)
    raise UnavailableError(f"The stack does not answer after {START_SECONDS} s. See {log_file(settings)}.")
