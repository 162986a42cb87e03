"""`cli.py up`: run the whole stack in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import typer

from fastapi_ignite.cli.options import Port, Workers
from fastapi_ignite.cli.ports import wait_for_free_port
from fastapi_ignite.cli.stack import appended_log, stack_lock, stack_url
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.infra.process import GRACE_SECONDS, protect_process_memory
from fastapi_ignite.infra.services import open_services
from fastapi_ignite.infra.supervisor import ChildProcess, HungPolicy, Supervisor

STARTING_SECONDS = 10  # a process that is just starting does not watch its parent yet


def register(app: typer.Typer) -> None:
    app.command("up")(up)


def up(port: Port = None, workers: Workers = 1) -> None:
    """Run servers, migrations, API, worker and scheduler in the foreground. Ctrl-C stops them."""
    settings = get_settings()
    protect_process_memory(debug=settings.app.debug)
    number = port or settings.app.port
    settings.require_safe_address(settings.app.host)
    with stack_lock(settings, number) as killed:
        # the API of a stack that was killed lets its requests end before it frees the port
        patience = GRACE_SECONDS + STARTING_SECONDS if killed and killed.port == number else 0
        wait_for_free_port(settings.app.host, number, seconds=patience)
        with open_services(settings) as services:
            _migrate()
            children = [
                _child("api", "--port", str(number), "--workers", str(workers)),
                _child("worker"),
                *([_child("scheduler")] if settings.scheduler.enabled else []),
            ]
            url = stack_url(settings, number)
            typer.echo(f"Starting {url} (API pages: {url}{settings.app.api_prefix}/docs)")
            code = Supervisor(
                children,
                heartbeat=services.heal,
                log_file=appended_log(settings),
                hung=HungPolicy(
                    pipe=settings.ignite.data_dir / "run" / "heartbeats",
                    hung_seconds=settings.ignite.hung_seconds,
                    start_seconds=settings.ignite.start_seconds,
                ),
            ).run()
    sys.exit(code)


def _migrate() -> None:
    """Migrate in a child process, because this process would keep the 40 MB that migrations load."""
    command = _child("db", "migrate")
    finished = subprocess.run(command.argv, env=command.env, stdout=subprocess.DEVNULL, check=False)  # noqa: S603  # our own program
    if finished.returncode:
        sys.exit(finished.returncode)  # the child has printed the reason


def _child(command: str, *options: str) -> ChildProcess:
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return ChildProcess(
        name=command,
        argv=(sys.executable, "-m", "fastapi_ignite.cli", command, *options),
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
    )
