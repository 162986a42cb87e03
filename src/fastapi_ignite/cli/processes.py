"""`cli.py api | worker | scheduler`: one process kind each, which imports nothing of the others."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from fastapi_ignite.cli.options import Port, Workers
from fastapi_ignite.cli.ports import require_free_port
from fastapi_ignite.cli.schema import require_schema
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.process import SUPERVISOR_PID_VARIABLE, close_to_debuggers, exit_with_parent
from fastapi_ignite.infra.services import open_services
from fastapi_ignite.tasks import PERIODIC_JOBS, QUEUES

GRACEFUL_SECONDS = 25
TABLE_WIDTH = 140  # a line a job, in a pipe too


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
    close_to_debuggers(debug=settings.app.debug)
    address, number = host or settings.app.host, port or settings.app.port
    settings.require_safe_address(address)
    if reload and workers > 1:
        raise ConfigurationError("--reload and --workers exclude each other")
    require_free_port(address, number)
    configure_logging(settings)
    with open_services(settings) as services:
        require_schema(services)
        if reload or workers > 1:
            # uvicorn starts a process anew whenever it ends: this one must go first, and they end with it
            exit_with_supervisor()
            os.environ[SUPERVISOR_PID_VARIABLE] = str(os.getpid())
        import uvicorn  # noqa: PLC0415

        uvicorn.run(
            "fastapi_ignite.main:create_app",
            factory=True,
            host=address,
            port=number,
            reload=reload,
            reload_dirs=["src"] if reload else None,
            workers=workers,
            http="fastapi_ignite.http.server_protocol:BoundedProtocol",
            ws="none",
            timeout_keep_alive=settings.server.keep_alive_seconds,  # type: ignore[arg-type]  # a timer takes fractions
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # TRUSTED_PROXIES decides, for every server alike
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )


def worker(
    queues: Annotated[
        list[str] | None, typer.Option(help=f"Work on this queue only; may be repeated. One of {', '.join(QUEUES)}.")
    ] = None,
) -> None:
    """Work on uploaded files, exports and whatever else runs in the background."""
    settings = get_settings()
    close_to_debuggers(debug=settings.app.debug)
    unknown = set(queues or ()).difference(QUEUES)
    if unknown:
        raise ConfigurationError(
            f"--queues: no queue is called {', '.join(sorted(unknown))}; takes {', '.join(QUEUES)}"
        )
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
            *(["--queues", *queues] if queues else []),
        ]
        configure_logging(settings)
        from dramatiq import cli as dramatiq_cli  # noqa: PLC0415

        if settings.embedding.base_url:
            from fastapi_ignite.rag.local.http_embedding import verify_server  # noqa: PLC0415

            asyncio.run(verify_server(settings.embedding))
        asyncio.run(_log_missing_guards(debug=settings.app.debug))
        exit_with_supervisor()
        sys.exit(dramatiq_cli.main(dramatiq_cli.make_argument_parser().parse_args(arguments)))


async def _log_missing_guards(*, debug: bool) -> None:
    from fastapi_ignite.rag.extraction.guards import examine_guards  # noqa: PLC0415  # the worker's alone

    missing = {report.guard: report.detail for report in await examine_guards(debug=debug) if not report.holds}
    log = structlog.get_logger(__name__)
    if missing:
        log.warning("parsers of uploads are confined in part only; see SECURITY.md", **missing)
    else:
        log.info("parsers of uploads are confined")


def run_scheduler(
    *, list_jobs: Annotated[bool, typer.Option("--list", help="Print the jobs and run none.")] = False
) -> None:
    """Run the periodic jobs."""
    settings = get_settings()
    if list_jobs:
        print_periodic_jobs()
    if not settings.scheduler.enabled:
        typer.echo("SCHEDULER_ENABLED is false: nothing to do.")
    if list_jobs or not settings.scheduler.enabled:
        return
    close_to_debuggers(debug=settings.app.debug)
    configure_logging(settings)
    exit_with_supervisor()
    with open_services(settings) as services:
        require_schema(services)
        from fastapi_ignite import scheduler  # noqa: PLC0415

        asyncio.run(scheduler.run(settings, services))


def print_periodic_jobs() -> None:
    """Each one also runs when a scheduler starts; the next run is told by the clock alone."""
    from fastapi_ignite.scheduler import next_run  # noqa: PLC0415

    table = Table("id", "interval (UTC)", "next run (UTC)", "what it does", box=None)
    for job in PERIODIC_JOBS:
        table.add_row(job.name, job.interval, f"{next_run(job):%Y-%m-%d %H:%M:%S}", job.purpose)
    Console(highlight=False, width=TABLE_WIDTH).print(table)


def exit_with_supervisor() -> None:
    """A child of `up` ends with it; started by hand, a process outlives its shell as usual."""
    if SUPERVISOR_PID_VARIABLE in os.environ:
        exit_with_parent()
