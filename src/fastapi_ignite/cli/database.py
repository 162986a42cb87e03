"""`cli.py db …`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from redis import Redis
from sqlalchemy import text

from fastapi_ignite.cli.output import Json, print_result
from fastapi_ignite.core.config import Settings, default_settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.process import protect_process_memory
from fastapi_ignite.infra.services import ServiceAddresses, Services, embedded_errors, open_services
from fastapi_ignite.infra.storage.backends import open_storage
from fastapi_ignite.infra.storage.base import is_tenant_object

from embedded_services import acquire, status

if TYPE_CHECKING:
    from fastapi_ignite.rag.local.vector_indexes import VectorIndex

group = typer.Typer(no_args_is_help=True, help="Create, migrate, reset and check the database schema.")
STOP_SECONDS = 10

# Dropping the whole schema would drop the extension, which perhaps only a superuser can create again.
DROP_ALL = """
DO $$
DECLARE
    command text;
BEGIN
    FOREACH command IN ARRAY ARRAY(
        SELECT format('DROP TABLE IF EXISTS %s CASCADE', oid::regclass)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
        UNION ALL
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    ) LOOP
        EXECUTE command;
    END LOOP;
END
$$
"""


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="db")


@group.command()
def migrate(
    revision: Annotated[str, typer.Argument(help="Revision to migrate to.")] = "head", *, as_json: Json = False
) -> None:
    """Run the missing migrations."""
    settings = get_settings()
    protect_process_memory(debug=settings.app.debug)
    with open_services(settings) as services:
        migrations.upgrade(services.addresses, revision)
        current = asyncio.run(migrations.current(services.addresses))
    print_result(f"The schema is at revision {current}.", {"revision": current}, as_json=as_json)


@group.command()
def init(*, as_json: Json = False) -> None:
    """Create the database if it does not exist, then migrate it."""
    with open_services(get_settings()) as services:
        addresses = services.addresses
        with migrations.naming_postgres_in_errors(addresses):
            created = asyncio.run(_create_database(addresses))
        if created and not as_json:
            typer.echo(f"Created the database {addresses.owner_url.database}.")
    migrate(as_json=as_json)


@group.command()
def reset(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False, as_json: Json = False
) -> None:
    """Delete all tables, uploaded files and queued messages, then migrate again."""
    settings = get_settings()
    if settings.app.production:
        raise ConfigurationError("db reset is refused when ENV=production.")
    if not yes:
        typer.confirm("This deletes all tenants, documents and messages. Continue?", abort=True, err=as_json)
    with open_services(settings) as services:
        addresses = services.addresses
        with migrations.naming_postgres_in_errors(addresses), Redis.from_url(addresses.redis_url) as redis:
            redis.ping()  # so that nothing is deleted if Redis is away
            asyncio.run(_drop_all(addresses))
            redis.flushdb()
        asyncio.run(_remove_objects(settings))
        shutil.rmtree(settings.ignite.data_dir / "storage", ignore_errors=True)
        migrations.upgrade(addresses)
        current = asyncio.run(migrations.current(addresses))
    print_result("The database is empty and migrated.", {"revision": current}, as_json=as_json)


async def _remove_objects(settings: Settings) -> None:
    """Remove the objects of tenants from the storage; what somebody else put there stays."""
    storage = open_storage(settings)
    async for page in storage.objects(after=""):
        for each in page:
            if is_tenant_object(each.key):
                await storage.delete(each.key)


@group.command()
def check(*, as_json: Json = False) -> None:
    """Compare the models with the migrations, on a temporary server."""
    with tempfile.TemporaryDirectory(prefix="ignite-check-") as folder:
        Path(folder).chmod(0o711)
        data = Path(folder) / "data"
        try:
            with embedded_errors(), acquire(data, durable=False) as lease:
                services = Services(default_settings(), lease)
                migrations.upgrade(services.addresses)
                migrations.check(services.addresses)
        finally:
            _wait_until_stopped(data)
    print_result("The migrations make the tables of the models.", {"matches": True}, as_json=as_json)


@group.command("vector-indexes")
def vector_indexes(*, as_json: Json = False) -> None:
    """Build and drop the vector indexes of large projects, as a worker does, and list them.

    The exit code is 1 if a large project goes on without an index. The log says why.
    """
    settings = get_settings()
    protect_process_memory(debug=settings.app.debug)
    configure_logging(settings)
    with open_services(settings) as services, migrations.naming_postgres_in_errors(services.addresses):
        unbuilt, indexes = asyncio.run(_maintain_vector_indexes(services.addresses, settings))
    lines = [
        f"project {index.project_id}: {index.megabytes:,} MB, "
        + ("complete" if index.is_complete else "not complete: it is not used")
        for index in indexes
    ]
    if unbuilt:
        lines.append(f"{unbuilt} large projects have no index, and are searched without one.")
    rows = [
        {"project_id": index.project_id, "megabytes": index.megabytes, "complete": index.is_complete}
        for index in indexes
    ]
    if lines or as_json:
        print_result("\n".join(lines), {"indexes": rows, "projects_without": unbuilt}, as_json=as_json)
    if unbuilt:
        raise typer.Exit(1)


async def _maintain_vector_indexes(
    addresses: ServiceAddresses, settings: Settings
) -> tuple[int, Sequence[VectorIndex]]:
    from fastapi_ignite.rag.local.vector_indexes import VectorIndexes  # noqa: PLC0415  # numpy

    database = Database(addresses.worker_url, pool_size=1)
    try:
        indexes = VectorIndexes(database, addresses.owner_url, settings.vector_index)
        unbuilt = await indexes.maintain()
        return unbuilt, await indexes.list()
    finally:
        await database.close()


def _wait_until_stopped(data: Path) -> None:
    """Wait for the guardian to end, because servers write into their folder until they have stopped."""
    deadline = time.monotonic() + STOP_SECONDS
    while status(data).guardian_pid is not None and time.monotonic() < deadline:
        time.sleep(0.05)


async def _create_database(addresses: ServiceAddresses) -> bool:
    name = addresses.owner_url.database
    engine = single_use_engine(addresses.owner_url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            exists = await connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name})
            if not exists:
                quoted = engine.dialect.identifier_preparer.quote_identifier(name or "")
                await connection.execute(text(f"CREATE DATABASE {quoted}"))
        return not exists
    finally:
        await engine.dispose()


async def _drop_all(addresses: ServiceAddresses) -> None:
    engine = single_use_engine(addresses.owner_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.execute(text(DROP_ALL))
    finally:
        await engine.dispose()
