"""`cli.py api | worker | scheduler`: one process kind each."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer
import uvicorn
from dramatiq import cli as dramatiq_cli

from fastapi_ignite import scheduler as periodic
from fastapi_ignite.cli.options import Port, Workers
from fastapi_ignite.cli.ports import require_free_port
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.process import SUPERVISOR_PID_VARIABLE, exit_with_parent
from fastapi_ignite.infra.services import Services, open_services

GRACEFUL_SECONDS = 25


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("api")(api)
    app.command("worker")(worker)
    app.command("scheduler")(run_scheduler)


def api(
    host: Annotated[str | None, typer.Option(help="Default: HOST.")] = None,
    port: Port = None,
    *,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when the code changes.")] = False,
    workers: Workers = 1,
) -> None:
    """Serve the API."""
    settings = get_settings()
    address, number = host or settings.app.host, port or settings.app.port
    settings.require_safe_address(address)
    if reload and workers > 1:
        raise ConfigurationError("--reload and --workers exclude each other")
    require_free_port(address, number)
    with open_services(settings) as services:
        require_schema(services)
        if reload or workers > 1:
            os.environ.setdefault(SUPERVISOR_PID_VARIABLE, str(os.getpid()))
        uvicorn.run(
            "fastapi_ignite.main:create_app",
            factory=True,
            host=address,
            port=number,
            reload=reload,
            reload_dirs=["src"] if reload else None,
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )


def worker() -> None:
    """Work on uploaded files."""
    settings = get_settings()
    with open_services(settings) as services:
        require_schema(services)
        arguments = [
            "fastapi_ignite.worker:build_broker",
            "--processes",
            str(settings.dramatiq.processes),
            "--threads",
            str(settings.dramatiq.threads),
            "--worker-shutdown-timeout",
            str(GRACEFUL_SECONDS * 1000),
            "--skip-logging",
        ]
        configure_logging(settings)
        exit_with_supervisor()
        sys.exit(dramatiq_cli.main(dramatiq_cli.make_argument_parser().parse_args(arguments)))


def run_scheduler() -> None:
    """Run the periodic jobs."""
    settings = get_settings()
    if not settings.scheduler.enabled:
        typer.echo("SCHEDULER_ENABLED is false: nothing to do.")
        return
    configure_logging(settings)
    exit_with_supervisor()
    with open_services(settings) as services:
        require_schema(services)
        asyncio.run(periodic.run(settings, services))


def exit_with_supervisor() -> None:
    """A child of `up` ends with it; started by hand, a process outlives its shell as usual."""
    if SUPERVISOR_PID_VARIABLE in os.environ:
        exit_with_parent()


def require_schema(services: Services) -> None:
    """Say what to do instead of failing at the first request."""
    addresses = services.addresses
    current = asyncio.run(migrations.current(addresses))
    newest = migrations.head(addresses)
    if current != newest:
        raise ConfigurationError(
            f"The database is at migration {current or 'none'}, the code at {newest}: run 'python cli.py db migrate'."
        )
