"""Helpers that read in the database and the storage what is recorded about a tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, RowMapping, text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses


async def make_plan(database: Database, *, messages: int = 100, characters: int = 10_000) -> str:
    """Make a plan that only this test uses, and return its id."""
    plan_id = f"plan-{new_id().hex[-12:]}"
    async with database.system() as session:
        await session.execute(
            text(
                "INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap) "
                "VALUES (:id, 'Test', 3, :messages, :characters)"
            ),
            {"id": plan_id, "messages": messages, "characters": characters},
        )
    return plan_id


async def rows_of(database: Database, tenant_id: UUID, statement: str, **values: Any) -> list[RowMapping]:
    """Run a statement in a transaction of the tenant, and return its rows."""
    async with database.tenant(tenant_id) as session:
        result = await session.execute(text(statement), values)
        return list(result.mappings()) if isinstance(result, CursorResult) and result.returns_rows else []


async def counter(database: Database, tenant_id: UUID, metric: str) -> tuple[int, int]:
    """Return `(used, reserved)` of a tenant that has one usage window."""
    rows = await rows_of(
        database, tenant_id, "SELECT used, reserved FROM usage_counters WHERE metric = :metric", metric=metric
    )
    return (rows[0]["used"], rows[0]["reserved"]) if rows else (0, 0)


def stored_objects(settings: Settings, tenant_id: UUID) -> list[bytes]:
    """Return the contents of the tenant's uploads in storage."""
    folder = settings.ignite.data_dir / "storage" / "objects" / str(tenant_id)
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def partial_uploads(settings: Settings) -> list[Path]:
    """Return the files of uploads that have not completely arrived."""
    return list((settings.ignite.data_dir / "storage" / "incoming").glob("*"))


async def waiting_for(database: Database, statement: str) -> int:
    """Return how many transactions wait for a lock in a statement LIKE this one."""
    async with database.engine.connect() as connection:
        found = await connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND query LIKE :statement"
            ),
            {"statement": statement},
        )
    return int(found or 0)


async def waits_for_a_lock(addresses: ServiceAddresses, statement: str) -> None:
    """Wait until a transaction waits for a lock in a statement LIKE this one."""
    owner = Database(addresses.owner_url, pool_size=1)  # may read the statements of other logins

    async def somebody_does() -> bool:
        return await waiting_for(owner, statement) > 0

    try:
        await eventually(somebody_does)
    finally:
        await owner.close()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds; only the test's own time limit ends the wait earlier."""
    while not await holds():  # noqa: ASYNC110  a database cannot set an asyncio event
        await asyncio.sleep(0.05)
