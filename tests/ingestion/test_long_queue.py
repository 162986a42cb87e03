"""Tests of a long queue: a file that waits in it is not sent again, but a file of a dead worker is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext, make_broker
from fastapi_ignite.infra.jobs.leases import LEASE, OVERDUE, RESEND, SILENCE, claim_stalled
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.models import File
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.tasks import backfill_embeddings, find_lost_files, process_file, resume_embedding
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.tenant_records import rows_of

pytestmark = of_the_local_engine  # no engine has processed these files
MOMENT = timedelta(seconds=1)


class QueuedFile:
    """Reads and changes an upload that no worker has claimed yet."""

    def __init__(self, tenant_id: UUID, file_id: UUID, database: Database) -> None:
        self.id = file_id
        self._tenant_id = tenant_id
        self._database = database

    async def notified_at(self) -> datetime:
        (row,) = await rows_of(self._database, self._tenant_id, "SELECT * FROM files WHERE id = :id", id=self.id)
        notified_at: datetime = row["notified_at"]
        return notified_at

    async def change(self, assignments: str, **values: object) -> None:
        statement = f"UPDATE files SET {assignments} WHERE id = :id"  # noqa: S608  the tests of this file write the assignments
        await rows_of(self._database, self._tenant_id, statement, id=self.id, **values)

    async def is_taken(self, *, now: datetime, queue_empty: bool) -> bool:
        async with self._database.system() as session:
            lost = await claim_stalled(session, File, FileRepo.unfinished, now=now, queue_empty=queue_empty)
            return self.id in {file.id for file in lost}


@pytest.fixture
async def file(tenant_without_worker: TenantClient, database: Database) -> QueuedFile:
    project = await tenant_without_worker.create_project()
    answer = await tenant_without_worker.upload(project, ("guide.txt", b"Nine apple trees."), wait_seconds=0)
    return QueuedFile(tenant_without_worker.id, UUID(answer.json()["files"][0]["id"]), database)


@pytest.fixture
async def jobs(addresses: ServiceAddresses) -> AsyncGenerator[JobQueue]:
    """Return a queue that no worker reads."""
    url, _, number = addresses.redis_url.rpartition("/")
    broker = make_broker(f"{url}/{8 + int(number)}")
    queue = JobQueue(broker)
    yield queue
    broker.flush(process_file.queue)
    broker.flush(backfill_embeddings.queue)
    queue.close()


@pytest.fixture
def context(task_context: TaskContext, jobs: JobQueue) -> TaskContext:
    return replace(task_context, jobs=jobs)


async def test_files_are_not_sent_again_while_the_queue_holds_messages(
    file: QueuedFile, context: TaskContext, jobs: JobQueue
) -> None:
    await find_lost_files.run(context)  # sends the files that other tests left behind
    jobs._broker.flush(process_file.queue)
    silent_since = clock.now() - SILENCE - MOMENT
    await file.change("notified_at = :then", then=silent_since)
    await jobs.send(process_file)
    for _ in range(3):
        await find_lost_files.run(context)
        await resume_embedding.run(context)
    assert await file.notified_at() == silent_since
    assert (await jobs.backlog(process_file), await jobs.backlog(backfill_embeddings)) == (1, 1)
    jobs._broker.flush(process_file.queue)
    await find_lost_files.run(context)
    assert await file.notified_at() > silent_since
    assert await jobs.backlog(process_file)


async def test_while_nobody_knows_the_backlog_files_are_sent(
    file: QueuedFile, task_context: TaskContext, unreachable_jobs: JobQueue
) -> None:
    silent_since = clock.now() - SILENCE - MOMENT
    await file.change("notified_at = :then", then=silent_since)
    await find_lost_files.run(replace(task_context, jobs=unreachable_jobs))
    assert await file.notified_at() > silent_since


@pytest.mark.parametrize(("queue_empty", "silence"), [(True, SILENCE), (False, OVERDUE)])
async def test_a_waiting_file_is_sent_again_once_a_silence(
    file: QueuedFile, *, queue_empty: bool, silence: timedelta
) -> None:
    """A busy queue may never be empty, so a file that is long overdue is sent anyway."""
    notified_at = await file.notified_at()
    assert not await file.is_taken(now=notified_at + silence - MOMENT, queue_empty=queue_empty)
    assert await file.is_taken(now=notified_at + silence, queue_empty=queue_empty)
    assert not await file.is_taken(now=notified_at + silence + MOMENT, queue_empty=queue_empty)
    assert await file.is_taken(now=notified_at + 2 * silence, queue_empty=queue_empty)


@pytest.mark.parametrize(("queue_empty", "pause"), [(True, RESEND), (False, OVERDUE)])
async def test_a_file_whose_lease_is_over_is_sent_at_once_and_then_in_pauses(
    file: QueuedFile, *, queue_empty: bool, pause: timedelta
) -> None:
    """The pauses are longer while the message may still be waiting in the queue."""
    lease_until = await file.notified_at() + LEASE
    await file.change("lease_until = :lease, state = 'extracting', attempt = 1", lease=lease_until)
    assert not await file.is_taken(now=lease_until - MOMENT, queue_empty=queue_empty)
    assert await file.is_taken(now=lease_until, queue_empty=queue_empty)
    assert not await file.is_taken(now=lease_until + pause - MOMENT, queue_empty=queue_empty)
    assert await file.is_taken(now=lease_until + pause, queue_empty=queue_empty)
