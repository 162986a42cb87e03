"""How the driver is told what an address says beside host, login and database: of pgbouncer, and of TLS."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from fastapi_ignite.infra.db.pgbouncer import pgbouncer_options
from fastapi_ignite.infra.db.tls import tls_options


def connection_options(url: URL) -> tuple[URL, dict[str, Any]]:
    """The address for the driver, and the options that its connections need."""
    address, pooling = pgbouncer_options(url)
    address, encryption = tls_options(address)
    return address, {**pooling, **encryption}


def single_use_engine(url: URL, **options: Any) -> AsyncEngine:
    """An engine that keeps no connection, for work that is done once: migrations and the command line."""
    address, connect_args = connection_options(url)
    return create_async_engine(address, poolclass=NullPool, connect_args=connect_args, **options)
