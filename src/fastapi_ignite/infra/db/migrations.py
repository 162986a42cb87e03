"""The schema's revisions, and running Alembic from the program. The files are in `alembic/` at the project's root.

Every process asks for the newest revision when it starts. Alembic itself, with Mako 8 MB, is loaded by who migrates.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.core.errors import ConfigurationError, UnavailableError
from fastapi_ignite.core.outages import outage_of, reason_of
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.services import ServiceAddresses

HEAD: Final = "head"
_VERSIONS: Final = PROJECT_ROOT / "alembic" / "versions"
_REVISION: Final = re.compile(r"""^revision = ["'](\w+)["']""", re.MULTILINE)
_DOWN_REVISION: Final = re.compile(r"""^down_revision = ["'](\w+)["']""", re.MULTILINE)


def upgrade(addresses: ServiceAddresses, revision: str = HEAD) -> None:
    """Bring the schema up, one deploy at a time. Must not be called from a running event loop.

    Where newer code has migrated the database already, the way to the head is none: nothing happens.
    """
    if revision == HEAD and history().state_of(asyncio.run(current(addresses))) == "ahead":
        return
    _run("upgrade", addresses, revision)


def downgrade(addresses: ServiceAddresses, revision: str) -> None:
    """Take migrations back."""
    _run("downgrade", addresses, revision)


def check(addresses: ServiceAddresses) -> None:
    """Fail when the models and the migrated schema differ."""
    _run("check", addresses)


def _run(command_name: str, addresses: ServiceAddresses, *arguments: str) -> None:
    from alembic import command  # noqa: PLC0415  # see above
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    ini = PROJECT_ROOT / "alembic.ini"
    if not ini.is_file():
        raise ConfigurationError(f"{ini} is missing: run from a checkout of the project")
    config = Config(ini)
    config.attributes["addresses"] = addresses
    try:
        with naming_postgres_in_errors(addresses):
            getattr(command, command_name)(config, *arguments)
    except CommandError as error:
        raise ConfigurationError(str(error)) from error


def head() -> str:
    """Return the newest revision in the files: the one that none other comes after."""
    return history().head


def history() -> SchemaHistory:
    """Every revision in the files, which are read and not imported.

    Raises:
        ConfigurationError: none of them is the newest, or more than one is.
    """
    files = [path.read_text(encoding="utf-8") for path in sorted(_VERSIONS.glob("*.py"))]
    revisions = frozenset(found[1] for text in files if (found := _REVISION.search(text)))
    newest = revisions - {found[1] for text in files if (found := _DOWN_REVISION.search(text))}
    if len(newest) != 1:
        named = ", ".join(sorted(newest)) or "none"
        raise ConfigurationError(
            f"{_VERSIONS} must have one newest migration and has {named}: run from a whole checkout of the project"
        )
    return SchemaHistory(head=next(iter(newest)), revisions=revisions)


async def current(addresses: ServiceAddresses) -> str | None:
    """The revision the database is at; null before the first migration."""
    engine = single_use_engine(addresses.owner_url)
    try:
        with naming_postgres_in_errors(addresses):
            async with engine.connect() as connection:
                revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
                return str(revision) if revision else None
    except ProgrammingError:
        return None
    finally:
        await engine.dispose()


@contextlib.contextmanager
def naming_postgres_in_errors(addresses: ServiceAddresses) -> Iterator[None]:
    """Say which server does not work: the system's own errors do not name it.

    Raises:
        UnavailableError: PostgreSQL cannot be used.
    """
    try:
        yield
    except (SQLAlchemyError, PostgresError, OSError) as error:
        if outage_of(error) is None and not isinstance(error, (socket.gaierror, ssl.SSLError)):
            raise
        url, verb = addresses.owner_url, "reached" if isinstance(error, OSError) else "used"
        raise UnavailableError(
            f"PostgreSQL at {url.host}:{url.port or 5432} cannot be {verb}: {reason_of(error)}"
        ) from error
