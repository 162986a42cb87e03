"""Measure what a long usage ledger costs requests that do not read it, and requests that do.

    python -m bench.ledger [--rows 10000000]

One tenant of a database has ten entries, and another one has `--rows` entries. Each request goes through the whole
application without a socket (ASGI). The tenants take turns, so that other load of the machine affects both equally.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from statistics import median
from uuid import UUID

import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.harness import bench_servers
from fastapi_ignite.core.config import Settings, load_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from support.http_clients import client_for

CHUNK = 500_000
FEW = 10
ROUNDS = 40
PATHS = ("/limits/current", "/usage", "/usage/ledger?limit=100")
FILL = text("""
INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason, reservation_id)
SELECT :tenant_id, gen_random_uuid(), 'messages', CURRENT_DATE, CURRENT_DATE, 1, 'settled', gen_random_uuid()
FROM generate_series(1, :rows)
""")
COUNT = text("""
INSERT INTO usage_counters (tenant_id, metric, period_start, used) VALUES (:tenant_id, 'messages', CURRENT_DATE, :rows)
""")


async def fill(addresses: ServiceAddresses, tenant_id: UUID, rows: int) -> None:
    """Insert entries as the owner of the database: the application's roles would check each one against its tenant."""
    engine = create_async_engine(addresses.owner_url)
    try:
        for done in range(0, rows, CHUNK):
            async with engine.begin() as connection:
                await connection.execute(text("SET LOCAL session_replication_role = replica"))
                await connection.execute(FILL, {"tenant_id": tenant_id, "rows": min(CHUNK, rows - done)})
        async with engine.begin() as connection:
            await connection.execute(COUNT, {"tenant_id": tenant_id, "rows": rows})
            await connection.execute(text("ANALYZE usage_ledger"))
    finally:
        await engine.dispose()


async def measure(client: httpx2.AsyncClient, settings: Settings, tenants: dict[int, UUID]) -> None:
    headers = {rows: {"Authorization": f"Bearer {sign_token(tenant, settings)}"} for rows, tenant in tenants.items()}
    for path in PATHS:
        taken: dict[int, list[float]] = {rows: [] for rows in tenants}
        for _ in range(ROUNDS):
            for rows, header in headers.items():
                began = time.perf_counter()
                answer = await client.get(path, headers=header)
                taken[rows].append(time.perf_counter() - began)
                assert answer.is_success, answer.text
        few, many = (median(times) * 1000 for times in taken.values())
        print(f"{path:24} {few:6.2f} ms with {FEW} entries, {many:6.2f} ms with {max(tenants):,}: {many / few:.2f}")


async def run(addresses: ServiceAddresses, settings: Settings, rows: int) -> None:
    async with open_state(settings, addresses) as state, client_for(settings, state) as client:
        tenants: dict[int, UUID] = {}
        for number in (FEW, rows):
            created = await client.post("/tenants/create", params={"name": "Bench", "plan_id": "pro"})
            tenants[number] = UUID(created.json()["tenant_id"])
            await fill(addresses, tenants[number], number)
        database = Database(addresses.worker_url, pool_size=1)
        async with database.system() as session:
            size = await session.scalar(text("SELECT pg_size_pretty(pg_total_relation_size('usage_ledger'))"))
        await database.close()
        print(f"{rows:,} entries, {size}")
        await measure(client, settings, tenants)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    defaults = load_settings(env_file=None)
    settings = defaults.model_copy(update={"rate_limit": defaults.rate_limit.model_copy(update={"rpm": 10**9})})
    configure_logging(settings)
    logging.disable(logging.INFO)
    with bench_servers(durable=False) as (addresses, _):
        asyncio.run(run(addresses, settings, options.rows))


if __name__ == "__main__":
    main()
