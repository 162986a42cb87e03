"""`cli.py api | worker | scheduler`. Each command imports only what its process needs."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from fastapi_ignite import SOURCE_FOLDERS
from fastapi_ignite.cli.options import Port, Workers
from fastapi_ignite.cli.output import Json, print_json
from fastapi_ignite.cli.ports import require_free_port
from fastapi_ignite.cli.schema_check import require_schema
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.process import SUPERVISOR_PID_VARIABLE, exit_with_parent, protect_process_memory
from fastapi_ignite.infra.services import open_services
from fastapi_ignite.tasks import PERIODIC_JOBS, QUEUES

GRACEFUL_SECONDS = 25
TABLE_WIDTH = 140  # one line for each job, also when the output is a pipe


def register(app: typer.Typer) -> None:
    app.command("api")(api)
    app.command("worker")(worker)
    app.command("scheduler")(run_scheduler)


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: the setting HOST.")] = None,
    port: Port = None,
    *,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when the code changes.")] = False,
    workers: Workers = 1,
) -> None:
    """Serve the API."""
    settings = get_settings()
    protect_process_memory(debug=settings.app.debug)
    address, number = host or settings.app.host, port or settings.app.port
    settings.require_safe_address(address)
    if reload and workers > 1:
        raise ConfigurationError("--reload and --workers cannot be used together.")
    require_free_port(address, number)
    configure_logging(settings)
    with open_services(settings) as services:
        require_schema(services)
        if reload or workers > 1:
            # uvicorn restarts its processes whenever they end: this one must end first, and they end with it
            exit_with_supervisor()
            os.environ[SUPERVISOR_PID_VARIABLE] = str(os.getpid())
        import uvicorn  # noqa: PLC0415

        uvicorn.run(
            "fastapi_ignite.main:create_app",
            factory=True,
            host=address,
            port=number,
            reload=reload,
            reload_dirs=[str(folder) for folder in SOURCE_FOLDERS] if reload else None,
            workers=workers,
            http="fastapi_ignite.http.server_protocol:BoundedProtocol",
            ws="none",
            timeout_keep_alive=settings.server.keep_alive_seconds,  # type: ignore[arg-type]  # a timer accepts fractions
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the application itself reads TRUSTED_PROXIES, for every server
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )


def worker(
    queues: Annotated[
        list[str] | None, typer.Option(help=f"Process this queue only. It may be repeated. One of {', '.join(QUEUES)}.")
    ] = None,
) -> None:
    """Process uploaded files, exports and other background jobs."""
    settings = get_settings()
    protect_process_memory(debug=settings.app.debug)
    unknown = set(queues or ()).difference(QUEUES)
    if unknown:
        raise ConfigurationError(
            f"--queues: unknown queue {', '.join(sorted(unknown))}; must be one of {', '.join(QUEUES)}"
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
    from fastapi_ignite.rag.extraction.guards import examine_guards  # noqa: PLC0415  # only the worker uses it

    missing = {report.guard: report.detail for report in await examine_guards(debug=debug) if not report.holds}
    log = structlog.get_logger(__name__)
    if missing:
        log.warning("parsers of uploads are confined only in part; see SECURITY.md", **missing)
    else:
        log.info("parsers of uploads are confined")


def run_scheduler(
    *,
    list_jobs: Annotated[bool, typer.Option("--list", help="Print the jobs, but do not run them.")] = False,
    as_json: Json = False,
) -> None:
    """Run the periodic jobs."""
    settings = get_settings()
    if list_jobs:
        print_periodic_jobs(as_json=as_json)
    if not settings.scheduler.enabled and not (list_jobs and as_json):
        typer.echo("SCHEDULER_ENABLED is false, so no periodic job runs.")
    if list_jobs or not settings.scheduler.enabled:
        return
    protect_process_memory(debug=settings.app.debug)
    configure_logging(settings)
    exit_with_supervisor()
    with open_services(settings) as services:
        require_schema(services)
        from fastapi_ignite import scheduler  # noqa: PLC0415

        asyncio.run(scheduler.run(settings, services))


def print_periodic_jobs(*, as_json: bool) -> None:
    """Print the periodic jobs. The next run follows from the clock; each job also runs when a scheduler starts."""
    from fastapi_ignite.scheduler import next_run  # noqa: PLC0415

    if as_json:
        rows = [
            {"id": job.name, "interval": job.interval, "next_run": next_run(job), "purpose": job.purpose}
            for job in PERIODIC_JOBS
        ]
        print_json(rows)
        return
    table = Table("id", "interval (UTC)", "next run (UTC)", "what it does", box=None)
    for job in PERIODIC_JOBS:
        table.add_row(job.name, job.interval, f"{next_run(job):%Y-%m-%d %H:%M:%S}", job.purpose)
    Console(highlight=False, width=TABLE_WIDTH).print(table)


def exit_with_supervisor() -> None:
    """End this process with `up` if `up` started it. Started by hand, it may outlive its shell."""
    if SUPERVISOR_PID_VARIABLE in os.environ:
        exit_with_parent()
