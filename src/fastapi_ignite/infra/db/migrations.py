"""Read the revisions of the schema, and run Alembic. Its files are in `alembic/` in the root of the project.

Every process reads the newest revision at its start. Alembic (8 MB with Mako) is imported only to migrate.
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
from fastapi_ignite.infra.db.logins import provide_logins, refuse_foreign_logins
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.services import ServiceAddresses

HEAD: Final = "head"
_VERSIONS: Final = PROJECT_ROOT / "alembic" / "versions"
_REVISION: Final = re.compile(r"""^revision = ["'](\w+)["']""", re.MULTILINE)
_DOWN_REVISION: Final = re.compile(r"""^down_revision = ["'](\w+)["']""", re.MULTILINE)


def upgrade(addresses: ServiceAddresses, revision: str = HEAD) -> None:
    """Migrate the schema up, and make the logins. Do not call it from a running event loop.

    If newer code has already migrated the database beyond our head, nothing happens.
    """
    state = history().state_of(asyncio.run(current(addresses))) if revision == HEAD else "behind"
    if state == "behind":
        _run("upgrade", addresses, revision)
    elif state == "ok":
        # a third faster than with Alembic and all models, and `up` does it at every start
        asyncio.run(_renew_logins(addresses))


async def _renew_logins(addresses: ServiceAddresses) -> None:
    engine = single_use_engine(addresses.owner_url)
    try:
        with naming_postgres_in_errors(addresses):
            await refuse_foreign_logins(addresses.owner_url, addresses.login_passwords)
            await provide_logins(engine, addresses.login_passwords)
    finally:
        await engine.dispose()


def downgrade(addresses: ServiceAddresses, revision: str) -> None:
    """Undo migrations down to `revision`."""
    _run("downgrade", addresses, revision)


def check(addresses: ServiceAddresses) -> None:
    """Raise a ConfigurationError if the models differ from the migrated schema."""
    _run("check", addresses)


def _run(command_name: str, addresses: ServiceAddresses, *arguments: str) -> None:
    from alembic import command  # noqa: PLC0415  # see the module docstring
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    ini = PROJECT_ROOT / "alembic.ini"
    if not ini.is_file():
        raise ConfigurationError(f"{ini} is missing. Run this in a checkout of the project.")
    config = Config(ini)
    config.attributes["addresses"] = addresses
    try:
        with naming_postgres_in_errors(addresses):
            getattr(command, command_name)(config, *arguments)
    except CommandError as error:
        raise ConfigurationError(str(error)) from error


def head() -> str:
    """Return the newest revision in the files."""
    return history().head


def history() -> SchemaHistory:
    """Return every revision in the files. They are parsed, not imported.

    Raises:
        ConfigurationError: there is no newest revision, or more than one.
    """
    files = [path.read_text(encoding="utf-8") for path in sorted(_VERSIONS.glob("*.py"))]
    revisions = frozenset(found[1] for text in files if (found := _REVISION.search(text)))
    newest = revisions - {found[1] for text in files if (found := _DOWN_REVISION.search(text))}
    if len(newest) != 1:
        named = ", ".join(sorted(newest)) or "none"
        raise ConfigurationError(
            f"{_VERSIONS} must have one newest migration, but has {named}. Run this in a complete checkout."
        )
    return SchemaHistory(head=next(iter(newest)), revisions=revisions)


async def current(addresses: ServiceAddresses) -> str | None:
    """Return the revision of the database, or None before the first migration."""
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
    """Add the address of PostgreSQL to errors, because the operating system's errors do not name it.

    Raises:
        UnavailableError: PostgreSQL cannot be reached or used.
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
