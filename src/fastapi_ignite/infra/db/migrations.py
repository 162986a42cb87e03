"""Running Alembic from the program. The files are in `alembic/` at the project's root."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.services import ServiceAddresses


def _config(addresses: ServiceAddresses) -> Config:
    ini = PROJECT_ROOT / "alembic.ini"
    if not ini.is_file():
        raise ConfigurationError(f"{ini} is missing: run from a checkout of the project")
    config = Config(ini)
    config.attributes["addresses"] = addresses
    return config


def upgrade(addresses: ServiceAddresses, revision: str = "head") -> None:
    """Bring the schema up, one deploy at a time. Must not be called from a running event loop."""
    command.upgrade(_config(addresses), revision)


def downgrade(addresses: ServiceAddresses, revision: str) -> None:
    """Take migrations back."""
    command.downgrade(_config(addresses), revision)


def check(addresses: ServiceAddresses) -> None:
    """Fail when the models and the migrated schema differ."""
    command.check(_config(addresses))


def head(addresses: ServiceAddresses) -> str | None:
    """The newest revision in the files."""
    return ScriptDirectory.from_config(_config(addresses)).get_current_head()


async def current(addresses: ServiceAddresses) -> str | None:
    """The revision the database is at; null before the first migration."""
    engine = create_async_engine(addresses.owner_url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return str(revision) if revision else None
    except ProgrammingError:
        return None
    finally:
        await engine.dispose()
