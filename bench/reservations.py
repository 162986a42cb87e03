"""Measures how many reservations a second the service makes, beside its bare SQL, in one run.

    python -m bench.reservations [--seconds 1] [--rounds 15] [--clients 16] [--processes 1]

One transaction a step, written through to the disk, on one hot tenant and over 200 tenants; the ways take turns, on the
event loop of the API, in so many processes at once, each with its clients. service: what a request does. The others are
bare SQL on the driver, whose pool resets nothing, as the application's does not. driver: a transaction, the role, the
service's own statement. messages: the same, hand-made of the three messages that the service sends. known: a smaller
statement, with plan, month and cap known beforehand, in those messages.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from sqlalchemy import URL, make_url

from bench.harness import bench_servers
from bench.rounds import compare
from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import PlanChange
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.infra.db.role_message import SET_ROLE
from fastapi_ignite.infra.db.session import TENANT_ROLE
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.onboarding.service import OnboardingService
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from fastapi_ignite.usage.statements import RESERVE, SETTLE

CAP = 10**12
ONE, BOTH = ("driver", "messages", "known", "service"), ("driver", "messages", "service")
LOADS = {
    f"{name}, {load}": ways
    for load, ways in (("reserved", ONE), ("reserved and settled", BOTH))
    for name in ("one hot tenant", "200 tenants")
}
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
BEGIN = "BEGIN; SELECT set_config('role', '{}', true), set_config('app.tenant_id', '{}', true)"
Step = Callable[[UUID], Awaitable[None]]


def driver(pool: asyncpg.Pool, *, settle: bool) -> Step:
    async def run(statement: FixedStatement, values: dict[str, Any]) -> list[asyncpg.Record]:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(SET_ROLE, TENANT_ROLE, str(values["tenant_id"]))
            rows: list[asyncpg.Record] = await connection.fetch(statement.sql, *statement.arguments(values))
        return rows

    return bare(run, settle=settle)


def messages(pool: asyncpg.Pool, *, settle: bool) -> Step:
    async def run(statement: FixedStatement, values: dict[str, Any]) -> list[asyncpg.Record]:
        async with pool.acquire() as connection:
            await connection.execute(BEGIN.format(TENANT_ROLE, values["tenant_id"].hex))
            rows: list[asyncpg.Record] = await connection.fetch(statement.sql, *statement.arguments(values))
            await connection.execute("COMMIT")
        return rows

    return bare(run, settle=settle)


def bare(run: Callable[[FixedStatement, dict[str, Any]], Awaitable[list[asyncpg.Record]]], *, settle: bool) -> Step:
    """The service's own statements."""
    fixed = {"metric": "messages", "day": clock.today(), "amount": 1, "expires_at": None}

    async def step(tenant_id: UUID) -> None:
        ids = {"ids": [new_id()], "amounts": [1], "entry_ids": [new_id()]}
        values = {**fixed, **ids, "tenant_id": tenant_id}
        assert await run(RESERVE, values)
        if settle:
            await run(SETTLE, values)

    return step


def known(pool: asyncpg.Pool) -> Step:
    today = clock.today()

    async def step(tenant_id: UUID) -> None:
        async with pool.acquire() as connection:
            await connection.execute(BEGIN.format(TENANT_ROLE, tenant_id.hex))
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
    async with asyncio.TaskGroup() as running:  # an error ends the other clients, too
        for _ in range(clients):
            running.create_task(client())
    return done / (time.monotonic() - began)


async def make_tenants(database: Database, number: int) -> list[UUID]:
    async with database.system() as session:
        change = PlanChange(max_projects=1, monthly_message_cap=CAP, monthly_upload_char_cap=1)
        await PlanService(session).put("bench", change)
    onboarding = OnboardingService(database)
    made = [await onboarding.create(name="Bench", plan_id="bench", cycle=BillingCycle.MONTHLY) for _ in range(number)]
    return [tenant.tenant_id for tenant in made]


def plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@dataclass(frozen=True)
class Player:
    """Holds what each of the processes is told."""

    url: str
    tenants: list[UUID]
    clients: int
    seconds: float
    rounds: int

    def play(self, start: Barrier, results: SimpleQueue[tuple[str, str, int, float]]) -> None:
        """Every process begins every step at the same moment."""
        logging.disable(logging.INFO)
        uvloop.run(self._play(start, results))

    async def _play(self, start: Barrier, results: SimpleQueue[tuple[str, str, int, float]]) -> None:
        database = Database(make_url(self.url), pool_size=self.clients)
        async with asyncpg.create_pool(
            plain(make_url(self.url)), min_size=self.clients, max_size=self.clients, reset=keep_session
        ) as pool:
            both = {
                "driver": driver(pool, settle=True),
                "messages": messages(pool, settle=True),
                "service": service(database, settle=True),
            }
            one = {
                "driver": driver(pool, settle=False),
                "messages": messages(pool, settle=False),
                "known": known(pool),
                "service": service(database, settle=False),
            }
            for load, ways in (("reserved", one), ("reserved and settled", both)):
                for name, tenants in (("one hot tenant", self.tenants[:1]), ("200 tenants", self.tenants)):
                    for number, (way, step) in itertools.product(range(-1, self.rounds), ways.items()):
                        await asyncio.to_thread(start.wait)
                        done = await rate(step, tenants, clients=self.clients, seconds=self.seconds)
                        results.put((f"{name}, {load}", way, number, done))
        await database.close()


def report(results: SimpleQueue[tuple[str, str, int, float]], processes: list[SpawnProcess], rounds: int) -> None:
    """Line by line, as all processes are done with a load; the first round warms up."""
    for load, ways in LOADS.items():
        rates: dict[str, list[float]] = {way: [0.0] * rounds for way in ways}
        for _ in range((rounds + 1) * len(rates) * len(processes)):
            its_load, way, number, done = results.get()
            assert its_load == load
            if number >= 0:
                rates[way][number] += done
        figures = ", ".join(f"{way} {median(found):.0f}/s" for way, found in rates.items())
        service = rates.pop("service")
        ratios = ", ".join(f"{compare(service, its)} of {way}" for way, its in rates.items())
        print(f"{load}: {figures}; the service makes {ratios}", flush=True)


async def prepare(addresses: ServiceAddresses) -> list[UUID]:
    maker = Database(addresses.worker_url, pool_size=1)
    tenants = await make_tenants(maker, 200)
    await maker.close()
    return tenants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    context = get_context("spawn")
    with bench_servers() as (addresses, _):
        tenants = uvloop.run(prepare(addresses))
        url = addresses.api_url.render_as_string(hide_password=False)
        player = Player(url, tenants, options.clients, options.seconds, options.rounds)
        start, results = context.Barrier(options.processes), context.SimpleQueue()
        processes = [context.Process(target=player.play, args=(start, results)) for _ in range(options.processes)]
        for process in processes:
            process.start()
        report(results, processes, options.rounds)
        for process in processes:
            process.join()


if __name__ == "__main__":
    main()
