"""Runs the migrations as the owner, one deploy at a time, and makes the logins."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatch

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Index, text
from sqlalchemy.schema import SchemaItem

from fastapi_ignite.core.config import get_settings
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.db.logins import provide_logins, refuse_foreign_logins
from fastapi_ignite.infra.db.migrations import history
from fastapi_ignite.infra.services import ServiceAddresses, open_services
from fastapi_ignite.models import metadata

MIGRATION_LOCK = 4_846_210_137  # any number of our own: two deploys take turns on it


def is_compared(item: SchemaItem, name: str | None, kind: str, reflected: bool, compare_to: SchemaItem | None) -> bool:  # noqa: FBT001  Alembic's signature
    """Indexes that depend on the server or on stored rows are in no model, and are left where they are."""
    del reflected, compare_to
    if kind != "index" or not isinstance(item, Index) or item.table is None:
        return True
    table = metadata.tables.get(item.table.name)
    return table is None or not any(fnmatch(name or "", each) for each in table.info.get("optional_indexes", ()))


def run(connection: Connection) -> None:
    """The lock is taken first: afterwards no statement waits for a lock longer than five seconds."""
    connection.execute(text("SET statement_timeout = '120s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '600s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_server_default=True,
        include_object=is_compared,
    )
    try:
        with context.begin_transaction():
            context.run_migrations()
    except CommandError as error:
        schema = history()
        merged = [each for each in context.get_context().get_current_heads() if schema.is_merged(each)]
        if merged:
            raise CommandError(schema.advice(merged[0])) from error
        raise
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


async def migrate(addresses: ServiceAddresses) -> None:
    """Migrations, then the logins; nothing at all where the logins are another installation's."""
    await refuse_foreign_logins(addresses.owner_url, addresses.login_passwords)
    engine = single_use_engine(addresses.owner_url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
        await provide_logins(engine, addresses.login_passwords)
    finally:
        await engine.dispose()


def main() -> None:
    """`addresses` comes with the call from our command line; a bare `alembic` starts the servers itself."""
    addresses = context.config.attributes.get("addresses")
    if addresses is not None:
        asyncio.run(migrate(addresses))
        return
    with open_services(get_settings()) as services:
        asyncio.run(migrate(services.addresses))


main()
