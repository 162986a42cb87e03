"""Databases and rows that a test makes on a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses


async def fetch(url: URL, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement outside of a transaction, and return its rows."""
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            result = await connection.execute(text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await engine.dispose()


def run(url: URL, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    """Do the same as `fetch` where no event loop runs."""
    return asyncio.run(fetch(url, statement, **parameters))


async def insert_project(database: Database) -> tuple[UUID, UUID]:
    """Insert a tenant with a project without the API, and return `(tenant_id, project_id)`."""
    tenant_id, project_id = new_id(), new_id()
    async with database.tenant(tenant_id) as session:
        await session.execute(
            text("INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:t, 'Acme', 'hobby', 'monthly')"),
            {"t": tenant_id},
        )
        await session.execute(
            text("INSERT INTO projects (tenant_id, id, name) VALUES (:t, :p, 'Docs')"),
            {"t": tenant_id, "p": project_id},
        )
    return tenant_id, project_id


@contextmanager
def new_database(shared: ServiceAddresses, *, template: str = "template1") -> Iterator[ServiceAddresses]:
    """Create a database on the server of these addresses, and drop it at the end."""
    name = f"own_{new_id().hex}"
    run(shared.owner_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield replace(
            shared,
            owner_url=shared.owner_url.set(database=name),
            api_url=shared.api_url.set(database=name),
            worker_url=shared.worker_url.set(database=name),
            admin_url=shared.admin_url.set(database=name),
        )
    finally:
        run(shared.owner_url, f"DROP DATABASE {name} WITH (FORCE)")
