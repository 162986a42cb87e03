"""Running Alembic from the program. The files are in `alembic/` at the project's root."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError
from fastapi_ignite.core.outages import outage_of, reason_of
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.services import ServiceAddresses

HEAD = "head"


def _config(addresses: ServiceAddresses) -> Config:
    ini = PROJECT_ROOT / "alembic.ini"
    if not ini.is_file():
        raise ConfigurationError(f"{ini} is missing: run from a checkout of the project")
    config = Config(ini)
    config.attributes["addresses"] = addresses
    return config


def upgrade(addresses: ServiceAddresses, revision: str = HEAD) -> None:
    """Bring the schema up, one deploy at a time. Must not be called from a running event loop.

    Where newer code has migrated the database already, the way to the head is none: nothing happens.
    """
    if revision == HEAD and history(addresses).state_of(asyncio.run(current(addresses))) == "ahead":
        return
    with told_in_one_line(addresses):
        command.upgrade(_config(addresses), revision)


def downgrade(addresses: ServiceAddresses, revision: str) -> None:
    """Take migrations back."""
    with told_in_one_line(addresses):
        command.downgrade(_config(addresses), revision)


def check(addresses: ServiceAddresses) -> None:
    """Fail when the models and the migrated schema differ."""
    with told_in_one_line(addresses):
        command.check(_config(addresses))


def head(addresses: ServiceAddresses) -> str | None:
    """The newest revision in the files."""
    return history(addresses).head


def history(addresses: ServiceAddresses) -> SchemaHistory:
    """Every revision in the files."""
    scripts = ScriptDirectory.from_config(_config(addresses))
    return SchemaHistory(
        head=scripts.get_current_head(), revisions=frozenset(script.revision for script in scripts.walk_revisions())
    )


async def current(addresses: ServiceAddresses) -> str | None:
    """The revision the database is at; null before the first migration."""
    engine = single_use_engine(addresses.owner_url)
    try:
        with told_in_one_line(addresses):
            async with engine.connect() as connection:
                revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
                return str(revision) if revision else None
    except ProgrammingError:
        return None
    finally:
        await engine.dispose()


@contextlib.contextmanager
def told_in_one_line(addresses: ServiceAddresses) -> Iterator[None]:
    """Say which revision is unknown, or which server does not work: the system's own errors do not name it.

    Raises:
        ConfigurationError: the revision is unknown.
        UnavailableError: PostgreSQL cannot be used.
    """
    try:
        yield
    except CommandError as error:
        raise ConfigurationError(str(error)) from error
    except (SQLAlchemyError, PostgresError, OSError) as error:
        if outage_of(error) is None and not isinstance(error, (socket.gaierror, ssl.SSLError)):
            raise
        url, verb = addresses.owner_url, "reached" if isinstance(error, OSError) else "used"
        raise UnavailableError(
            f"PostgreSQL at {url.host}:{url.port or 5432} cannot be {verb}: {reason_of(error)}"
        ) from error
