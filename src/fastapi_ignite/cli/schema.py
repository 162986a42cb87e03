"""Commands that need a migrated database."""

from __future__ import annotations

import asyncio

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.services import Services


def require_schema(services: Services) -> None:
    """Say what to do instead of failing at the first statement."""
    addresses = services.addresses
    current = asyncio.run(migrations.current(addresses))
    newest = migrations.head(addresses)
    if current != newest:
        raise ConfigurationError(
            f"The database is at migration {current or 'none'}, the code at {newest}: run 'python cli.py db migrate'."
        )
