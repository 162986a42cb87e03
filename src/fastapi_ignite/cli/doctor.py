"""`cli.py doctor`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.cli.findings import Finding
from fastapi_ignite.cli.model_checks import model_findings
from fastapi_ignite.cli.output import Json, print_json
from fastapi_ignite.cli.schema_check import schema_position
from fastapi_ignite.cli.server_checks import database_versions, redis_finding
from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.production_checks import plaintext_warnings, production_problems
from fastapi_ignite.core.sections import DEVELOPMENT_SECRET
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import make_broker
from fastapi_ignite.infra.periodic_runs import scheduler_state
from fastapi_ignite.infra.services import ServiceAddresses, open_services
from fastapi_ignite.infra.storage.backends import open_storage
from fastapi_ignite.infra.storage.free_space import free_space
from fastapi_ignite.rag.extraction.guards import examine_guards
from fastapi_ignite.tasks import QUEUES

from embedded_services import EmbeddedServerError, status

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    *,
    production: Annotated[
        bool, typer.Option("--production", help="Also list what ENV=production would refuse.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check what the program needs, and say what to do. The exit code is 1 if something does not work."""
    settings = get_settings()
    console = Console(highlight=False)
    with Console(stderr=True).status("Checking"):
        findings = [*_guards(settings, production=production), *_examine(settings)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("check", "", "finding", box=None)
        for finding in findings:
            table.add_row(finding.subject, f"[{STYLES[finding.verdict]}]{finding.verdict}[/]", escape(finding.detail))
        console.print(table)
    sys.exit(1 if any(finding.verdict == "fail" for finding in findings) else 0)


def _guards(settings: Settings, *, production: bool) -> Iterator[Finding]:
    """Yield the findings of the production checks. With `ENV=production` a problem has stopped the program already."""
    if not (production or settings.app.production):
        return
    for problem in production_problems(settings):
        yield Finding("production", "fail", f"would refuse {problem}")
    for warning in plaintext_warnings(settings):
        yield Finding("production", "warn", warning)


def _examine(settings: Settings) -> Iterator[Finding]:
    yield Finding("python", "ok", sys.version.split()[0])
    yield _secret(settings)
    yield _disk(settings)
    yield _attempt("storage", lambda: asyncio.run(_storage(settings)))
    if not (settings.postgres.host or settings.database.database_url):
        yield _embedded(settings)
    for report in asyncio.run(examine_guards(debug=settings.app.debug)):
        yield Finding(report.guard, "ok" if report.holds else "warn", report.detail)
    try:
        services = open_services(settings)
    except IgniteError as error:
        yield Finding("servers", "fail", error.detail)
        return
    with services:
        addresses = services.addresses
        yield from _attempt_all("redis", lambda: [redis_finding(addresses)])
        if addresses.rabbitmq_url:
            yield _attempt("rabbitmq", lambda: _rabbitmq(addresses))
        yield from _attempt_all("postgresql", lambda: asyncio.run(database_versions(addresses)))
        yield _attempt("database", lambda: asyncio.run(_database(addresses)))
        yield _attempt("logins", lambda: asyncio.run(_logins(addresses)))
        yield asyncio.run(_scheduler(addresses))
    if settings.default_embedder == "minilm":
        yield _attempt("embedder", _minilm)
    elif settings.default_embedder == "http":
        yield asyncio.run(_embedding_server(settings))
    yield from model_findings(settings)


def _attempt(subject: str, check: Callable[[], str]) -> Finding:
    [finding] = _attempt_all(subject, lambda: [Finding(subject, "ok", check())])
    return finding


def _attempt_all(subject: str, check: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """Return the findings of a check. Its error is a finding about the subject."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001  any error is a finding
        detail = error.detail if isinstance(error, IgniteError) else f"{type(error).__name__}: {error}"
        return [Finding(subject, "fail", detail.splitlines()[0])]


def _secret(settings: Settings) -> Finding:
    if settings.jwt.secret.get_secret_value() == DEVELOPMENT_SECRET:
        return Finding("JWT_SECRET", "warn", "the development default, which is safe on 127.0.0.1 only")
    return Finding("JWT_SECRET", "ok", "set")


def _disk(settings: Settings) -> Finding:
    space = free_space(settings.ignite.data_dir)
    verdict: Literal["ok", "warn"] = "ok" if space.state(settings) == "ok" else "warn"
    return Finding("disk", verdict, f"{space.bytes_free / 2**30:.1f} GiB free under {settings.ignite.data_dir}")


async def _storage(settings: Settings) -> str:
    """Write, list, read and delete an object, so that each right is tried. A folder is examined only."""
    storage = open_storage(settings)
    await storage.check()
    if settings.storage.backend == "local":
        return f"files are stored under {settings.ignite.data_dir / 'storage'}"
    key = f"doctor/{new_id()}"
    writer = await storage.writer(key)
    await writer.write(b"written by 'cli.py doctor'")
    await writer.finish()
    try:
        async with storage.local_copy(key), aclosing(storage.objects(after="")) as pages:
            await anext(pages)
    finally:
        await storage.delete(key)
    await storage.remove_abandoned()
    return f"bucket {settings.s3.bucket}: objects can be written, listed, read and deleted"


def _embedded(settings: Settings) -> Finding:
    try:
        found = status(settings.ignite.data_dir)
    except EmbeddedServerError as error:
        return Finding("embedded", "fail", str(error))
    if found.running:
        return Finding("embedded", "ok", f"PostgreSQL on {found.postgres_port}, Valkey on {found.redis_port}")
    if found.last_error and found.phase == "failed":
        return Finding("embedded", "warn", found.last_error)
    return Finding("embedded", "ok", "not running; it starts when it is needed")


def _rabbitmq(addresses: ServiceAddresses) -> str:
    broker = make_broker(addresses.broker_url)
    try:
        return f"{sum(map(broker.waiting, QUEUES))} messages wait for a worker"
    finally:
        broker.close()


def _minilm() -> str:
    from fastapi_ignite.rag.local.minilm import load_minilm  # noqa: PLC0415  # slow to import, and an import error is a finding

    embedder = load_minilm()
    return f"{_described(embedder.model.name, embedder.model.dimensions)}, computed in {embedder.arithmetic}"


async def _embedding_server(settings: Settings) -> Finding:
    from fastapi_ignite.rag.local.embedding import EmbeddingError  # noqa: PLC0415  # as above
    from fastapi_ignite.rag.local.http_embedding import HttpEmbedder  # noqa: PLC0415

    embedder = HttpEmbedder(settings.embedding)
    try:
        await embedder.embed_query("dimension")
    except EmbeddingError as error:
        return Finding("embedder", "warn", f"{embedder.model.name}: {error}; search uses words only until it works")
    finally:
        await embedder.close()
    return Finding("embedder", "ok", _described(embedder.model.name, embedder.model.dimensions))


def _described(model: str, dimensions: int | None) -> str:
    return f"{model}, {dimensions} dimensions"


async def _database(addresses: ServiceAddresses) -> str:
    _, position = await schema_position(addresses)
    return position


async def _scheduler(addresses: ServiceAddresses) -> Finding:
    database = Database(addresses.worker_url, pool_size=1)
    try:
        async with database.system() as session:
            state = await scheduler_state(session)
    except (SQLAlchemyError, OSError):
        return Finding("scheduler", "warn", "unknown, because the database did not answer")
    finally:
        await database.close()
    details = {
        "ok": "every periodic job succeeded in time",
        "missing": "no scheduler runs, so lost jobs are not found; start 'cli.py up' or 'cli.py scheduler'",
        "hung": "a periodic job is overdue; see the scheduler's log, and restart it if it logs nothing",
    }
    return Finding("scheduler", "ok" if state == "ok" else "warn", details[state])


async def _logins(addresses: ServiceAddresses) -> str:
    for url in (addresses.api_url, addresses.worker_url):
        database = Database(url, pool_size=1)
        try:
            await database.ping()
        finally:
            await database.close()
    return f"{addresses.api_url.username} and {addresses.worker_url.username} can connect"
