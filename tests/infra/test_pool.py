"""Connections whose server went away."""

from __future__ import annotations

from sqlalchemy import text

from bookkeeping import eventually
from databases import fetch
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses

PID = text("SELECT pg_backend_pid()")


async def test_they_are_not_handed_out_again(addresses: ServiceAddresses) -> None:
    """Without asking the server before each transaction."""
    database = Database(addresses.worker_url, pool_size=3)
    try:
        async with database.tenant(None) as one, database.tenant(None) as two, database.tenant(None) as three:
            ended = [await session.scalar(PID) for session in (one, two, three)]
        await fetch(
            addresses.owner_url, "SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) pid", pids=ended
        )

        async def gone() -> bool:
            statement = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(CAST(:pids AS int[]))"
            return await fetch(addresses.owner_url, statement, pids=ended) == [(0,)]

        await eventually(gone)
        async with database.tenant(None) as one, database.tenant(None) as two, database.tenant(None) as three:
            fresh = [await session.scalar(PID) for session in (one, two, three)]
        assert not set(fresh) & set(ended)
    finally:
        await database.close()
