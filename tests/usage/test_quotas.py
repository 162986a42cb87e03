"""Caps with many requests at once: exactly the allowed number succeeds, whatever happens to the others."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.repository import release_expired
from fastapi_ignite.usage.service import UsageService
from support.fixed_days import calendar_at
from support.http_clients import TenantClient, TenantFactory
from support.usage_records import books_of


async def make_plan(database: Database, **caps: int) -> str:
    plan_id = f"plan-{new_id().hex[-12:]}"
    values = {"projects": 3, "messages": 5, "characters": 100, **caps}
    async with database.system() as session:
        await session.execute(
            text(
                "INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap) "
                "VALUES (:id, 'Test', :projects, :messages, :characters)"
            ),
            {"id": plan_id, **values},
        )
    return plan_id


async def counter(database: Database, tenant: TenantClient, metric: str) -> tuple[int, int]:
    async with database.tenant(tenant.id) as session:
        row = (
            await session.execute(
                text("SELECT used, reserved FROM usage_counters WHERE metric = :metric"), {"metric": metric}
            )
        ).one()
    return int(row.used), int(row.reserved)


async def test_twenty_creators_of_one_name_make_one_project(tenant: TenantClient, database: Database) -> None:
    answers = await asyncio.gather(
        *(tenant.post("/ingestion/projects/create", params={"name": "Docs"}) for _ in range(20))
    )
    assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
    assert Counter(answer.json()["status"] for answer in answers) == {"created": 1, "exists": 19}
    assert await counter(database, tenant, "projects") == (1, 0)


async def test_twenty_names_on_a_cap_of_three_make_three(tenant: TenantClient) -> None:
    answers = await asyncio.gather(
        *(tenant.post("/ingestion/projects/create", params={"name": f"Docs {number}"}) for number in range(20))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 3, 402: 17}
    assert (await tenant.get("/limits/current")).json()["usage"]["projects"] == 3
    existing = next(answer.json()["name"] for answer in answers if answer.status_code == 200)
    again = await tenant.post("/ingestion/projects/create", params={"name": existing})
    assert again.json()["status"] == "exists"


async def test_settle_and_release_are_repeatable(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=10))
    async with database.tenant(tenant.id) as session:
        usage = UsageService(session, tenant.id)
        first = await usage.reserve(Metric.CHARACTERS, 6, lifetime=None)
        with pytest.raises(QuotaExceededError):
            await usage.reserve(Metric.CHARACTERS, 5, lifetime=None)
        second = await usage.reserve(Metric.CHARACTERS, 4, lifetime=None)
        for settles in (True, False):
            assert await usage.settle(first) is settles
            await usage.release(second)
        await usage.release(first)
        assert not await usage.settle(second)
    assert await counter(database, tenant, "characters") == (6, 0)
    assert (await books_of(database, tenant.id)).add_up()


async def test_units_of_a_dead_process_come_back(tenant: TenantClient, database: Database) -> None:
    async with database.tenant(tenant.id) as session:
        for minutes in (-1, 5):
            await UsageService(session, tenant.id).reserve(Metric.MESSAGES, 1, lifetime=timedelta(minutes=minutes))
    assert await counter(database, tenant, "messages") == (0, 2)
    async with database.system() as session:
        await release_expired(session, now=clock.now())
    assert await counter(database, tenant, "messages") == (0, 1)


async def test_sweepers_at_once_do_not_wait_for_each_other(make_tenant: TenantFactory, database: Database) -> None:
    """Each sweeper releases units of all tenants; with different orders of locks, they would deadlock."""
    tenants = [await make_tenant() for _ in range(6)]
    for _ in range(3):
        for tenant in random.sample(tenants, len(tenants)):
            async with database.tenant(tenant.id) as session:
                usage = UsageService(session, tenant.id)
                for metric in (Metric.MESSAGES, Metric.CHARACTERS):
                    await usage.reserve(metric, 1, lifetime=timedelta(seconds=-1))

    async def sweep() -> None:
        async with database.system() as session:
            await release_expired(session, now=clock.now(), limit=7)

    for _ in range(3):
        await asyncio.gather(*(sweep() for _ in range(4)))
    for tenant in tenants:
        assert not +(await books_of(database, tenant.id)).reserved


async def test_the_day_of_a_downgrade_lowers_the_cap_of_its_first_reservation(
    make_tenant: TenantFactory, database: Database
) -> None:
    """The scheduled change has not been applied to the tenant's row yet."""
    with calendar_at(date(2031, 1, 31)) as calendar:
        tenant = await make_tenant(await make_plan(database, characters=10, projects=5))
        await tenant.post(f"/billing/subscribe?plan_id={await make_plan(database, characters=4)}")
        calendar.today = date(2031, 2, 28)
        async with database.tenant(tenant.id) as session:
            usage = UsageService(session, tenant.id)
            with pytest.raises(QuotaExceededError) as refused:
                await usage.reserve(Metric.CHARACTERS, 5, lifetime=None)
            await usage.reserve(Metric.CHARACTERS, 4, lifetime=None)
    assert refused.value.extra["cap"] == 4
    assert refused.value.extra["resets_at"] == "2031-03-31T00:00:00+00:00"
    assert (await books_of(database, tenant.id)).reserved == {(Metric.CHARACTERS, date(2031, 2, 28)): 4}
