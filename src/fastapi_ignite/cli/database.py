"""`cli.py db …`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from redis import Redis
from sqlalchemy import text

from fastapi_ignite.core.config import default_settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.process import close_to_debuggers
from fastapi_ignite.infra.services import ServiceAddresses, Services, embedded_errors, open_services

from embedded_services import acquire, status

group = typer.Typer(no_args_is_help=True, help="The database schema.")
STOP_SECONDS = 10

# Not the schema as a whole: the extension would go with it, which only a superuser may be able to make again.
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
    """Add the commands."""
    app.add_typer(group, name="db")


@group.command()
def migrate(revision: Annotated[str, typer.Argument(help="Revision to go up to.")] = "head") -> None:
    """Run the migrations that are missing."""
    settings = get_settings()
    close_to_debuggers(debug=settings.app.debug)
    with open_services(settings) as services:
        migrations.upgrade(services.addresses, revision)
        typer.echo(f"The schema is at {asyncio.run(migrations.current(services.addresses))}.")


@group.command()
def init() -> None:
    """Create the database if the server has none of its name, then migrate."""
    with open_services(get_settings()) as services:
        addresses = services.addresses
        with migrations.told_in_one_line(addresses):
            created = asyncio.run(_create_database(addresses))
        if created:
            typer.echo(f"Created database {addresses.owner_url.database}.")
    migrate()


@group.command()
def reset(*, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Drop every table, uploaded file and queued message, then migrate anew."""
    settings = get_settings()
    if settings.app.production:
        raise ConfigurationError("ENV=production: db reset is refused")
    if not yes:
        typer.confirm("This removes all tenants, documents and messages. Go on?", abort=True)
    with open_services(settings) as services:
        addresses = services.addresses
        with migrations.told_in_one_line(addresses), Redis.from_url(addresses.redis_url) as redis:
            redis.ping()  # so that nothing is dropped where not everything can be
            asyncio.run(_drop_all(addresses))
            redis.flushdb()
        shutil.rmtree(settings.ignite.data_dir / "storage", ignore_errors=True)
        migrations.upgrade(addresses)
    typer.echo("The database is empty and migrated.")


@group.command()
def check() -> None:
    """Compare the models with the migrations, on a server of its own that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="ignite-check-") as folder:
        Path(folder).chmod(0o711)
        data = Path(folder) / "data"
        try:
            with embedded_errors(), acquire(data, durable=False) as lease:
                services = Services(default_settings(), lease)
                migrations.upgrade(services.addresses)
                migrations.check(services.addresses)
        finally:
            _wait_for_the_end(data)


def _wait_for_the_end(data: Path) -> None:
    """Servers that stop still write into their folder: it could not be removed."""
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
