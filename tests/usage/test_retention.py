"""Tests that reservations that ended long ago are removed, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from fastapi_ignite.core.sections import RetentionSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.usage import tasks
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from fastapi_ignite.usage.tasks import remove_ended_reservations
from support.http_clients import TenantClient
from support.tenant_records import counter, rows_of
from support.usage_records import books_of

AGES = (0, 89, 91, 400)


@pytest.fixture
async def reservations(tenant: TenantClient, database: Database) -> None:
    """Make a settled, a released and a held reservation of each age in days."""
    for age in AGES:
        async with database.tenant(tenant.id) as session:
            usage = UsageService(session, tenant.id)
            made = await usage.reserve_each(Metric.MESSAGES, [1, 1, 1], lifetime=None)
            await usage.settle(made[0])
            await usage.release(made[1])
            change = text(
                "UPDATE usage_reservations SET created_at = now() - make_interval(days => :age) WHERE id = ANY(:ids)"
            )
            await session.execute(change, {"age": age, "ids": made})


def keeping(context: TaskContext, days: int) -> TaskContext:
    """Return the context of an installation that keeps ended reservations for so many days."""
    settings = context.settings.model_copy(update={"retention": RetentionSettings(reservation_days=days)})
    return replace(context, settings=settings)


async def left(database: Database, tenant: TenantClient) -> dict[int, int]:
    """Return how many reservations are left, by their age in days."""
    rows = await rows_of(
        database,
        tenant.id,
        "SELECT CAST(extract(day FROM now() - created_at) AS integer) AS age, count(*) AS n FROM usage_reservations "
        "GROUP BY 1",
    )
    return {row["age"]: row["n"] for row in rows}


@pytest.mark.usefixtures("reservations")
async def test_ended_ones_are_removed_after_the_days_of_the_setting(
    tenant: TenantClient, database: Database, task_context: TaskContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "REMOVED_AT_A_TIME", 2)
    await remove_ended_reservations.run(keeping(task_context, 90))
    assert await left(database, tenant) == {0: 3, 89: 3, 91: 1, 400: 1}
    assert await counter(database, tenant.id, "messages") == (len(AGES), len(AGES))
    assert (await books_of(database, tenant.id)).add_up()


@pytest.mark.usefixtures("reservations")
async def test_zero_days_keep_them_for_ever(
    tenant: TenantClient, database: Database, task_context: TaskContext
) -> None:
    await remove_ended_reservations.run(keeping(task_context, 0))
    assert await left(database, tenant) == dict.fromkeys(AGES, 3)
