"""A message whose tenant is not the tenant of its row must change nothing, on any queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import dramatiq
import pytest
from sqlalchemy import text

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import Job
from fastapi_ignite.tasks import JOBS
from support.feature_contracts import contracts
from support.tenant_records import eventually, rows_of

JOB_ROWS = {job: row for each in contracts().values() for job, row in each.job_rows.items()}
JOBS_WITHOUT_ROW = {job for each in contracts().values() for job in each.jobs_of_no_row}


@dataclass(frozen=True, slots=True)
class UnsentRow:
    """A row that a worker should process, but for which no message was sent."""

    tenant_id: UUID
    id: UUID
    table: str
    database: Database

    async def row(self) -> list[Any]:
        """Return the row as it is stored; the list is empty if the row was deleted."""
        select = f"SELECT * FROM {self.table} WHERE id = :id"  # noqa: S608  named in a contract
        return [dict(row) for row in await rows_of(self.database, self.tenant_id, select, id=self.id)]


@pytest.fixture
async def unsent_row(
    request: pytest.FixtureRequest, database: Database, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> AsyncGenerator[UnsentRow]:
    job_row = JOB_ROWS[request.getfixturevalue("job")]
    tenant_id, project_id = await make_project()
    row_id = new_id()
    async with database.tenant(tenant_id) as session:
        values = {"tenant": tenant_id, "project": project_id, "id": row_id, "state": job_row.state}
        await session.execute(
            text(job_row.insert), {name: value for name, value in values.items() if f":{name}" in job_row.insert}
        )
    yield UnsentRow(tenant_id, row_id, job_row.table, database)
    async with database.system() as session:  # otherwise a sweeper of another test would find it
        statement = f"DELETE FROM {job_row.table} WHERE tenant_id = :tenant"  # noqa: S608  named in a contract
        await session.execute(text(statement), {"tenant": tenant_id})


async def deliver(job: Job, tenant_id: UUID, row_id: UUID) -> None:
    """Run the job's actor as the broker does, and wait until it ends."""
    await asyncio.to_thread(dramatiq.get_broker().get_actor(job.name).fn, str(tenant_id), str(row_id))


def test_every_job_is_looked_at() -> None:
    assert set(JOBS) == set(JOB_ROWS) | JOBS_WITHOUT_ROW


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("job", JOB_ROWS, ids=lambda job: job.name)
async def test_a_message_of_another_tenant_moves_nothing(
    job: Job, unsent_row: UnsentRow, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> None:
    before = await unsent_row.row()
    other_tenant, _ = await make_project()
    await deliver(job, other_tenant, unsent_row.id)
    assert await unsent_row.row() == before

    async def moved() -> bool:
        """Deliver the right message. A serial job returns at once while another one of its kind runs."""
        await deliver(job, unsent_row.tenant_id, unsent_row.id)
        return await unsent_row.row() != before

    await eventually(moved)
