"""Caps under concurrency: the exact number gets through, whatever happens to the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from sqlalchemy import text

from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.repository import UsageRepo, release_expired
from http_clients import TenantClient, TenantFactory


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


async def test_forty_asks_on_a_cap_of_five_admit_five(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, messages=5))
    project = await tenant.create_project()
    answers = await asyncio.gather(*(tenant.ask(project, f"Question {number}?") for number in range(40)))
    assert Counter(answer.status_code for answer in answers) == {200: 5, 402: 35}
    refused = next(answer.json() for answer in answers if answer.status_code == 402)
    assert (refused["code"], refused["metric"], refused["cap"], refused["requested"]) == (
        "quota_exceeded",
        "messages",
        5,
        1,
    )
    assert refused["resets_at"].endswith("T00:00:00+00:00")
    assert await counter(database, tenant, "messages") == (5, 0)
    async with database.tenant(tenant.id) as session:
        daily = await session.scalar(text("SELECT sum(amount) FROM usage_daily WHERE metric = 'messages'"))
        rows = await session.execute(text("SELECT state, count(*) AS number FROM messages GROUP BY 1"))
        states = {row.state: row.number for row in rows}
    assert daily == 5
    assert states == {"completed": 10}


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


async def test_settle_and_release_are_repeatable(tenant: TenantClient, database: Database) -> None:
    today = clock.today()
    first, second = new_id(), new_id()

    async def reserve(repository: UsageRepo, reservation_id: object, amount: int) -> bool:
        held = await repository.reserve(
            reservation_id=reservation_id,  # type: ignore[arg-type]  # ids made above
            metric=Metric.CHARACTERS,
            amount=amount,
            period_start=today,
            day=today,
            cap=10,
            expires_at=None,
        )
        return held is not None

    async with database.tenant(tenant.id) as session:
        repository = UsageRepo(session, tenant.id)
        assert await reserve(repository, first, 6)
        assert not await reserve(repository, second, 5)
        assert await reserve(repository, second, 4)
        for _ in range(2):
            await repository.settle(first)
            await repository.release(second)
        await repository.release(first)
        await repository.settle(second)
    assert await counter(database, tenant, "characters") == (6, 0)


async def test_units_of_a_dead_process_come_back(tenant: TenantClient, database: Database) -> None:
    today = clock.today()
    async with database.tenant(tenant.id) as session:
        for minutes in (-1, 5):
            await UsageRepo(session, tenant.id).reserve(
                reservation_id=new_id(),
                metric=Metric.MESSAGES,
                amount=1,
                period_start=today,
                day=today,
                cap=10,
                expires_at=clock.now() + timedelta(minutes=minutes),
            )
    assert await counter(database, tenant, "messages") == (0, 2)
    async with database.system() as session:
        await release_expired(session, now=clock.now())
    assert await counter(database, tenant, "messages") == (0, 1)
