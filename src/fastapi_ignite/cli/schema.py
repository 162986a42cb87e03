"""Where the database's schema stands, seen from this code."""

from __future__ import annotations

import asyncio

import typer

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.db.schema_history import SchemaState
from fastapi_ignite.infra.services import ServiceAddresses, Services


def require_schema(services: Services) -> None:
    """Say what to do instead of failing at the first statement. A schema that newer code has migrated will do."""
    state, position = asyncio.run(schema_position(services.addresses))
    if state == "ahead":
        typer.echo(f"The database is {position}.", err=True)


async def schema_position(addresses: ServiceAddresses) -> tuple[SchemaState, str]:
    """`ok` or `ahead`, and the same in words.

    Raises:
        ConfigurationError: the database lacks what this code needs.
    """
    current, history = await migrations.current(addresses), migrations.history()
    state = history.state_of(current)
    if state == "behind":
        raise ConfigurationError(history.advice(current))
    newer = f", newer than the code, which is at {history.head}" if state == "ahead" else ""
    return state, f"at migration {current}{newer}"
