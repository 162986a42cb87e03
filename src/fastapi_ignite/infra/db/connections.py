"""Turn the pgbouncer and TLS parameters of a URL into options of the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from fastapi_ignite.infra.db.pgbouncer import pgbouncer_options
from fastapi_ignite.infra.db.tls import tls_options


def connection_options(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL for the driver, without these parameters, and the options of its connections."""
    address, pooling = pgbouncer_options(url)
    address, encryption = tls_options(address)
    return address, {**pooling, **encryption}


def single_use_engine(url: URL, *, connect_args: Mapping[str, Any] | None = None, **options: Any) -> AsyncEngine:
    """Make an engine without a pool, for single tasks like migrations and commands.

    `connect_args` are options of its connections. Where the URL asks for something else, the URL wins.
    """
    address, own = connection_options(url)
    return create_async_engine(address, poolclass=NullPool, connect_args={**(connect_args or {}), **own}, **options)
