"""How many reservations a second the service makes, beside its bare SQL, in one run.

    PYTHONPATH=src python bench/reservations.py [--seconds 4] [--rounds 5] [--clients 16]

One transaction a reservation, written through to the disk, on one hot tenant and over 200 tenants; the ways take turns.
driver: the role and the service's own statement on a pool of the driver, nothing else. known: the driver again, with
plan, month and cap known beforehand. statement: that one in a transaction of the application. service: what a request
does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable
from statistics import median
from uuid import UUID

import asyncpg
from sqlalchemy import URL, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import PlanChange
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.onboarding.service import OnboardingService
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from fastapi_ignite.usage.statements import RESERVE as RESERVE_OF_THE_DAY
from harness import bench_servers

CAP = 10**12
ROLE = "SELECT set_config('role', 'ignite_tenant', true), set_config('app.tenant_id', $1, true)"
RESERVE = """
WITH counter AS (
    INSERT INTO usage_counters AS c (tenant_id, metric, period_start, reserved)
    SELECT $1, 'messages', $3, 1 WHERE 1 <= $4::bigint
    ON CONFLICT (tenant_id, metric, period_start) DO UPDATE
    SET reserved = c.reserved + excluded.reserved, updated_at = now()
    WHERE c.used + c.reserved + excluded.reserved <= $4
    RETURNING used, reserved
), reservation AS (
    INSERT INTO usage_reservations (tenant_id, id, metric, period_start, day, amount, state)
    SELECT $1, $2, 'messages', $3, $3, 1, 'held' FROM counter
)
SELECT used, reserved FROM counter
"""
Reserve = Callable[[UUID], Awaitable[None]]


def driver(pool: asyncpg.Pool) -> Reserve:
    compiled = RESERVE_OF_THE_DAY.compile(dialect=asyncpg_dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
    fixed = {"metric": "messages", "day": clock.today(), "amount": 1, "expires_at": None}

    async def reserve(tenant_id: UUID) -> None:
        values = {**fixed, "tenant_id": tenant_id, "id": new_id()}
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(ROLE, str(tenant_id))
            row = await connection.fetchrow(compiled.string, *(values[name] for name in compiled.positiontup or ()))
        assert row

    return reserve


def known(pool: asyncpg.Pool) -> Reserve:
    today = clock.today()

    async def reserve(tenant_id: UUID) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(ROLE, str(tenant_id))
            row = await connection.fetchrow(RESERVE, tenant_id, new_id(), today, CAP)
        assert row

    return reserve


def statement(database: Database) -> Reserve:
    today = clock.today()
    reserve_one = text(re.sub(r"\$(\d)", r":p\1", RESERVE).replace(":p4::bigint", "CAST(:p4 AS bigint)"))

    async def reserve(tenant_id: UUID) -> None:
        async with database.tenant(tenant_id) as session:
            values = {"p1": tenant_id, "p2": new_id(), "p3": today, "p4": CAP}
            assert (await session.execute(reserve_one, values)).one()

    return reserve


def service(database: Database) -> Reserve:
    async def reserve(tenant_id: UUID) -> None:
        async with database.tenant(tenant_id) as session:
            await UsageService(session, tenant_id).reserve(Metric.MESSAGES, 1, lifetime=None)

    return reserve


async def rate(reserve: Reserve, tenants: list[UUID], *, clients: int, seconds: float) -> float:
    """Reservations a second."""
    turns, done = itertools.cycle(tenants), 0
    deadline = time.monotonic() + seconds

    async def client() -> None:
        nonlocal done
        while time.monotonic() < deadline:
            await reserve(next(turns))
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / (time.monotonic() - began)


async def make_tenants(database: Database, number: int) -> list[UUID]:
    async with database.system() as session:
        change = PlanChange(max_projects=1, monthly_message_cap=CAP, monthly_upload_char_cap=1)
        await PlanService(session).put("bench", change)
    tenants = [new_id() for _ in range(number)]
    for tenant_id in tenants:
        async with database.tenant(tenant_id) as session:
            onboarding = OnboardingService(session, tenant_id)
            await onboarding.create(name="Bench", plan_id="bench", cycle=BillingCycle.MONTHLY)
    return tenants


def ratio(own: list[float], other: list[float]) -> float:
    """Taken within a round."""
    return median(mine / its for mine, its in zip(own, other, strict=True))


def plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def run(addresses: ServiceAddresses, *, clients: int, seconds: float, rounds: int) -> None:
    maker = Database(addresses.worker_url, pool_size=1)
    tenants = await make_tenants(maker, 200)
    await maker.close()
    database = Database(addresses.api_url, pool_size=clients)
    async with asyncpg.create_pool(plain(addresses.api_url), min_size=clients, max_size=clients) as pool:
        ways = {
            "driver": driver(pool),
            "known": known(pool),
            "statement": statement(database),
            "service": service(database),
        }
        for name, chosen in (("one hot tenant", tenants[:1]), ("200 tenants", tenants)):
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for reserve in ways.values():
                await rate(reserve, chosen, clients=clients, seconds=1)
            for _ in range(rounds):
                for way, reserve in ways.items():
                    rates[way].append(await rate(reserve, chosen, clients=clients, seconds=seconds))
            figures = ", ".join(f"{way} {median(found):.0f}/s" for way, found in rates.items())
            ratios = ", ".join(f"{ratio(rates['service'], rates[way]):.2f} of the {way}'s" for way in list(ways)[:3])
            print(f"{name}: {figures}; the service makes {ratios}", flush=True)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with bench_servers() as (addresses, _):
        asyncio.run(run(addresses, clients=options.clients, seconds=options.seconds, rounds=options.rounds))


if __name__ == "__main__":
    main()
