"""Tests that old receipts are removed, and only those of completed deletions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.sections import RetentionSettings
from fastapi_ignite.deletions import tasks
from fastapi_ignite.deletions.tasks import remove_old_deletions
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from support.http_clients import TenantClient
from support.tenant_records import rows_of

AGES = (0, 1094, 1096, 4000)
RECEIPT = (
    "INSERT INTO deletions (tenant_id, id, kind, state, notified_at, completed_at, lease_until) VALUES "
    "(:tenant, :id, 'file', :state, now(), now() - make_interval(days => :age), now() + interval '1 day')"
)
LEFT = "SELECT state, CAST(extract(day FROM now() - completed_at) AS integer) AS age FROM deletions ORDER BY 1, 2"


@pytest.fixture
async def aged(tenant: TenantClient, database: Database) -> None:
    """Make a completed receipt of each age in days, and an unfinished one."""
    for age in AGES:
        for state in ("completed", "in_progress"):
            await rows_of(database, tenant.id, RECEIPT, tenant=tenant.id, id=new_id(), age=age, state=state)


def keeping(context: TaskContext, days: int) -> TaskContext:
    """Return the context of an installation that keeps receipts for so many days."""
    settings = context.settings.model_copy(update={"retention": RetentionSettings(receipt_days=days)})
    return replace(context, settings=settings)


async def left(database: Database, tenant: TenantClient) -> dict[str, list[int]]:
    """Return the ages of the receipts that are left, by their state."""
    rows = await rows_of(database, tenant.id, LEFT)
    return {state: [row["age"] for row in rows if row["state"] == state] for state in ("completed", "in_progress")}


@pytest.mark.usefixtures("aged")
async def test_completed_ones_are_removed_after_the_days_of_the_setting(
    tenant: TenantClient, database: Database, task_context: TaskContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "REMOVED_AT_A_TIME", 1)
    await remove_old_deletions.run(keeping(task_context, 0))
    assert await left(database, tenant) == {"completed": list(AGES), "in_progress": list(AGES)}
    await remove_old_deletions.run(keeping(task_context, 1095))
    assert await left(database, tenant) == {"completed": [0, 1094], "in_progress": list(AGES)}
    listed = (await tenant.get("/deletions")).json()
    assert len(listed["deletions"]) == 2 + len(AGES)


@pytest.mark.parametrize("days", [-1, 1, 36_501])
def test_a_time_that_is_too_short_is_refused(days: int) -> None:
    with pytest.raises(ValidationError):
        RetentionSettings(receipt_days=days)
