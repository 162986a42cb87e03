"""How many reservations a second the service makes, beside its bare SQL, in one run.

    PYTHONPATH=src python bench/reservations.py [--seconds 1] [--rounds 15] [--clients 16]

One transaction a step, written through to the disk, on one hot tenant and over 200 tenants; the ways take turns, on the
event loop of the API. driver: the messages that the service sends, on connections of the driver, nothing else. service:
what a request does. known: the driver again, with plan, month and cap known beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from sqlalchemy import URL

from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import PlanChange
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.infra.db.driver import opening
from fastapi_ignite.infra.db.session import TENANT_ROLE
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.onboarding.service import OnboardingService
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from fastapi_ignite.usage.statements import RESERVE, SETTLE
from harness import bench_servers

CAP = 10**12
RESERVE_KNOWN = """
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
Step = Callable[[UUID], Awaitable[None]]


def driver(pool: asyncpg.Pool, *, settle: bool) -> Step:
    fixed = {"metric": "messages", "day": clock.today(), "amount": 1, "expires_at": None}

    async def run(statement: FixedStatement, values: dict[str, Any]) -> list[asyncpg.Record]:
        async with pool.acquire() as connection:
            await connection.execute(opening(TENANT_ROLE, values["tenant_id"]))
            rows: list[asyncpg.Record] = await connection.fetch(statement.sql, *statement.arguments(values))
            await connection.execute("COMMIT")
        return rows

    async def step(tenant_id: UUID) -> None:
        values = {**fixed, "tenant_id": tenant_id, "id": new_id(), "entry_id": new_id()}
        assert await run(RESERVE, values)
        if settle:
            await run(SETTLE, values)

    return step


def known(pool: asyncpg.Pool) -> Step:
    today = clock.today()

    async def step(tenant_id: UUID) -> None:
        async with pool.acquire() as connection:
            await connection.execute(opening(TENANT_ROLE, tenant_id))
            row = await connection.fetchrow(RESERVE_KNOWN, tenant_id, new_id(), today, CAP)
            await connection.execute("COMMIT")
        assert row

    return step


def service(database: Database, *, settle: bool) -> Step:
    async def step(tenant_id: UUID) -> None:
        async with database.tenant(tenant_id) as session:
            reservation = await UsageService(session, tenant_id).reserve(Metric.MESSAGES, 1, lifetime=None)
        if settle:
            async with database.tenant(tenant_id) as session:
                await UsageService(session, tenant_id).settle(reservation)

    return step


async def keep_session(_: asyncpg.Connection) -> None:
    """The application resets nothing either when a connection goes back: everything was the transaction's."""


async def rate(step: Step, tenants: list[UUID], *, clients: int, seconds: float) -> float:
    """Steps a second."""
    turns, done = itertools.cycle(tenants), 0
    deadline = time.monotonic() + seconds

    async def client() -> None:
        nonlocal done
        while time.monotonic() < deadline:
            await step(next(turns))
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


async def measure(
    load: str, ways: dict[str, Step], tenants: list[UUID], *, clients: int, seconds: float, rounds: int
) -> None:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for step in ways.values():
        await rate(step, tenants, clients=clients, seconds=1)
    for _ in range(rounds):
        for way, step in ways.items():
            rates[way].append(await rate(step, tenants, clients=clients, seconds=seconds))
    figures = ", ".join(f"{way} {median(found):.0f}/s" for way, found in rates.items())
    ratios = ", ".join(f"{ratio(rates['service'], rates[way]):.2f} of the {way}'s" for way in ways if way != "service")
    print(f"{load}: {figures}; the service makes {ratios}", flush=True)


async def run(addresses: ServiceAddresses, *, clients: int, seconds: float, rounds: int) -> None:
    maker = Database(addresses.worker_url, pool_size=1)
    tenants = await make_tenants(maker, 200)
    await maker.close()
    database = Database(addresses.api_url, pool_size=clients)
    url = plain(addresses.api_url)
    async with asyncpg.create_pool(url, min_size=clients, max_size=clients, reset=keep_session) as pool:
        both = {"driver": driver(pool, settle=True), "service": service(database, settle=True)}
        one = {
            "driver": driver(pool, settle=False),
            "service": service(database, settle=False),
            "known": known(pool),
        }
        for load, ways in (("reserved", one), ("reserved and settled", both)):
            for name, chosen in (("one hot tenant", tenants[:1]), ("200 tenants", tenants)):
                await measure(f"{name}, {load}", ways, chosen, clients=clients, seconds=seconds, rounds=rounds)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with bench_servers() as (addresses, _):
        uvloop.run(run(addresses, clients=options.clients, seconds=options.seconds, rounds=options.rounds))


if __name__ == "__main__":
    main()
