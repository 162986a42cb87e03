"""A message that names another tenant than its row's moves nothing, on any queue."""

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
from fastapi_ignite.exports.tasks import export_tenant, remove_export
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import Job
from fastapi_ignite.ingestion.tasks import backfill_embeddings, delete_file, process_file, rebuild, remove_orphans
from fastapi_ignite.tasks import JOBS
from fastapi_ignite.usage.tasks import roll_up
from support.tenant_records import rows_of

FILE = (
    "INSERT INTO files (tenant_id, id, project_id, batch_id, filename, byte_count, sha256, state, notified_at) "
    "VALUES (:tenant, :id, :project, :id, 'a.txt', 1, '', :state, now())"
)
EXPORT = (
    "INSERT INTO exports (tenant_id, id, include_files, state, notified_at) VALUES (:tenant, :id, false, :state, now())"
)
# the row that each job works on, in the state in which it would
WORK = {
    delete_file: (FILE, "files", "deleting"),
    export_tenant: (EXPORT, "exports", "queued"),
    remove_export: (EXPORT, "exports", "expired"),
}
# the database chooses what these work on, whatever the message names
OF_NO_ROW = {process_file, backfill_embeddings, roll_up, rebuild, remove_orphans}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that a worker should take up, and that no worker was told of."""

    tenant_id: UUID
    id: UUID
    table: str
    database: Database

    async def row(self) -> list[Any]:
        """As it is stored; none when it is gone."""
        select = f"SELECT * FROM {self.table} WHERE id = :id"  # noqa: S608  named in this file
        return [dict(row) for row in await rows_of(self.database, self.tenant_id, select, id=self.id)]


@pytest.fixture
async def waiting(
    request: pytest.FixtureRequest, database: Database, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> AsyncGenerator[Waiting]:
    insert, table, state = WORK[request.getfixturevalue("job")]
    tenant_id, project_id = await make_project()
    row_id = new_id()
    async with database.tenant(tenant_id) as session:
        values = {"tenant": tenant_id, "project": project_id, "id": row_id, "state": state}
        await session.execute(text(insert), {name: values[name] for name in values if f":{name}" in insert})
    yield Waiting(tenant_id, row_id, table, database)
    async with database.tenant(tenant_id) as session:  # a sweeper of another test would find it
        await session.execute(text(f"DELETE FROM {table}"))  # noqa: S608  named in this file


async def deliver(job: Job, tenant_id: UUID, row_id: UUID) -> None:
    """As the broker does, and wait for the end."""
    await asyncio.to_thread(dramatiq.get_broker().get_actor(job.name).fn, str(tenant_id), str(row_id))


def test_every_job_is_looked_at() -> None:
    assert set(JOBS) == set(WORK) | OF_NO_ROW


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("job", WORK, ids=lambda job: job.name)
async def test_a_message_of_another_tenant_moves_nothing(
    job: Job, waiting: Waiting, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> None:
    before = await waiting.row()
    stranger, _ = await make_project()
    await deliver(job, stranger, waiting.id)
    assert await waiting.row() == before
    await deliver(job, waiting.tenant_id, waiting.id)
    assert await waiting.row() != before, "the right one does"
