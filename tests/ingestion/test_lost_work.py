"""Tests of messages that were never sent, workers that died, and stored files that are missing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext, leases
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS, OVERDUE, claim_stalled
from fastapi_ignite.infra.jobs.run_tracker import RunTracker
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.infra.tasks import clean
from fastapi_ignite.ingestion.models import File
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.tasks import find_lost_deletions
from fastapi_ignite.models import metadata
from fastapi_ignite.scheduler import schedule
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.tenant_records import counter, eventually, rows_of, stored_objects

ORCHARD = b"The orchard keeps nine apple trees. "
ProcessorFactory = Callable[..., FileProcessor]


class QueuedFile:
    """Reads and changes an uploaded file of which no worker got a message."""

    def __init__(self, tenant: TenantClient, project: str, file_id: UUID, database: Database) -> None:
        self.tenant = tenant
        self.project = project
        self.file_id = file_id
        self._database = database

    async def public(self) -> dict[str, object]:
        """Return the file as the API shows it to the tenant."""
        listed = (await self.tenant.get(f"/ingestion/projects/{self.project}/files")).json()["files"]
        (file,) = [file for file in listed if file["id"] == str(self.file_id)]
        found: dict[str, object] = file
        return found

    async def row(self) -> dict[str, object]:
        """Return the stored row."""
        (row,) = await rows_of(self._database, self.tenant.id, "SELECT * FROM files WHERE id = :id", id=self.file_id)
        return dict(row)

    async def change(self, assignments: str, **values: object) -> None:
        """Change the row, as if time had passed or a process had died."""
        statement = f"UPDATE files SET {assignments} WHERE id = :id"  # noqa: S608  the tests of this file write the assignments
        await rows_of(self._database, self.tenant.id, statement, id=self.file_id, **values)

    async def end_leases(self) -> None:
        """End the leases in our tables and in those of the engine, as if the worker had been silent for minutes."""
        await self.change("lease_until = now()")
        if "provider_files" in metadata.tables:
            await rows_of(self._database, self.tenant.id, "UPDATE provider_files SET lease_until = now()")

    async def lose(self) -> None:
        """Make the file look lost: it has no lease, and its last message is too old to be still in a queue."""
        await self.change("notified_at = :then, lease_until = NULL", then=clock.now() - OVERDUE)

    async def lose_deletion(self) -> None:
        """Make the tenant's deletions look lost."""
        statement = "UPDATE deletions SET notified_at = :then, lease_until = NULL"
        await rows_of(self._database, self.tenant.id, statement, then=clock.now() - OVERDUE)

    async def characters(self) -> tuple[int, int]:
        """Return the used and the reserved characters."""
        return await counter(self._database, self.tenant.id, "characters")

    async def wait_for_state(self, state: str) -> None:
        """Wait until the file has this state."""

        async def reached() -> bool:
            return (await self.row())["state"] == state

        await eventually(reached)


@pytest.fixture
async def queued_file(tenant_without_worker: TenantClient, database: Database) -> QueuedFile:
    project = await tenant_without_worker.create_project()
    answer = await tenant_without_worker.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)
    assert (answer.status_code, answer.json()["batch_status"]) == (200, "in_progress")
    return QueuedFile(tenant_without_worker, project, UUID(answer.json()["files"][0]["id"]), database)


@pytest.mark.usefixtures("worker")
async def test_the_scheduler_completes_an_upload_without_a_message(
    queued_file: QueuedFile, task_context: TaskContext
) -> None:
    await queued_file.lose()
    scheduler = schedule(task_context, RunTracker())
    scheduler.start()
    try:
        await queued_file.wait_for_state("completed")
    finally:
        scheduler.shutdown(wait=True)
    assert await queued_file.characters() == (len(ORCHARD), 0)


@pytest.mark.usefixtures("worker")
async def test_a_removal_without_a_message_is_carried_out(
    queued_file: QueuedFile, task_context: TaskContext, make_processor: ProcessorFactory, settings: Settings
) -> None:
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    await queued_file.tenant.delete(
        f"/ingestion/projects/{queued_file.project}/remove_file",
        params={"openai_file_id": str(queued_file.file_id), "delete_raw": True},
    )
    await queued_file.lose_deletion()
    assert await find_lost_deletions.run(task_context)
    await queued_file.wait_for_state("deleted")
    assert stored_objects(settings, queued_file.tenant.id) == []


@pytest.mark.usefixtures("worker")
async def test_the_deletion_of_a_project_without_a_message_is_carried_out(
    queued_file: QueuedFile, task_context: TaskContext, make_processor: ProcessorFactory, settings: Settings
) -> None:
    tenant, project = queued_file.tenant, queued_file.project
    await make_processor().process(tenant.id, queued_file.file_id)
    await tenant.delete(f"/ingestion/projects/{project}")
    await queued_file.lose_deletion()
    assert await find_lost_deletions.run(task_context)

    async def completed() -> bool:
        return bool((await tenant.get(f"/deletions/{project}")).json()["state"] == "completed")

    await eventually(completed)
    assert stored_objects(settings, tenant.id) == []


@of_the_local_engine  # no engine has processed this file
async def test_a_lost_file_is_handed_out_once(queued_file: QueuedFile, database: Database) -> None:
    async def take() -> int:
        async with database.system() as session:
            lost = await claim_stalled(session, File, FileRepo.unfinished, now=clock.now(), queue_empty=True)
            return sum(file.id == queued_file.file_id for file in lost)

    assert await take() == 0
    await queued_file.lose()
    assert sum(await asyncio.gather(*(take() for _ in range(4)))) == 1
    assert await take() == 0
    await queued_file.lose()
    await queued_file.change("lease_until = :later", later=clock.now() + timedelta(minutes=1))
    assert await take() == 0


async def test_a_dead_workers_file_is_done_by_the_next_and_the_dead_one_changes_nothing(
    queued_file: QueuedFile, make_processor: ProcessorFactory, database: Database
) -> None:
    """The first worker is only slow: it continues after its lease has ended and the file is completed."""
    working, may_go_on = asyncio.Event(), asyncio.Event()

    async def stall() -> None:
        working.set()
        await may_go_on.wait()

    slow = asyncio.create_task(make_processor(stall).process(queued_file.tenant.id, queued_file.file_id))
    await working.wait()
    assert ((await queued_file.row())["state"], await queued_file.characters()) == ("chunking", (0, len(ORCHARD)))
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    assert (await queued_file.row())["attempt"] == 1, "the lease was not respected"
    await queued_file.end_leases()
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    after = await queued_file.row()
    assert (after["state"], after["attempt"]) == ("completed", 2)
    may_go_on.set()
    await slow
    assert await queued_file.row() == after
    assert await queued_file.characters() == (len(ORCHARD), 0)
    (row,) = await rows_of(database, queued_file.tenant.id, "SELECT count(*) AS documents FROM documents")
    assert row["documents"] == 1


async def kill_attempt(queued_file: QueuedFile, make_processor: ProcessorFactory) -> None:
    """Make an attempt end after its reservation and without any clean-up, as a killed process does."""
    reserved = asyncio.Event()

    async def stall() -> None:
        reserved.set()
        await asyncio.Event().wait()

    attempt = asyncio.create_task(make_processor(stall).process(queued_file.tenant.id, queued_file.file_id))
    await reserved.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await queued_file.end_leases()


async def test_what_a_dead_attempt_reserved_is_not_charged_twice(
    queued_file: QueuedFile, make_processor: ProcessorFactory
) -> None:
    await kill_attempt(queued_file, make_processor)
    await kill_attempt(queued_file, make_processor)
    assert await queued_file.characters() == (0, len(ORCHARD))
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    assert await queued_file.characters() == (len(ORCHARD), 0)


async def test_what_a_dead_attempt_reserved_is_freed_when_a_copy_was_faster(
    queued_file: QueuedFile, make_processor: ProcessorFactory
) -> None:
    await kill_attempt(queued_file, make_processor)
    upload = await queued_file.tenant.upload(queued_file.project, ("copy.txt", ORCHARD), wait_seconds=0)
    await make_processor().process(queued_file.tenant.id, UUID(upload.json()["files"][0]["id"]))
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    file = await queued_file.public()
    assert (file["status"], file["deduplicated"]) == ("completed", True)
    assert await queued_file.characters() == (len(ORCHARD), 0)


async def test_a_file_that_brings_its_workers_down_is_given_up(
    queued_file: QueuedFile, make_processor: ProcessorFactory
) -> None:
    for _ in range(MAX_ATTEMPTS):
        assert (await queued_file.public())["status"] == "in_progress"
        await kill_attempt(queued_file, make_processor)
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    file = await queued_file.public()
    assert file["status"] == "failed"
    error = file["last_error"]
    assert isinstance(error, dict)
    assert (error["code"], error["retryable"]) == ("attempts_exhausted", False)
    assert await queued_file.characters() == (0, 0)


def hide_object(queued_file: QueuedFile, settings: Settings) -> tuple[Path, Path]:
    folder = settings.ignite.data_dir / "storage" / "objects" / str(queued_file.tenant.id)
    (path,) = [path for path in folder.rglob("*") if path.is_file()]
    return path, path.rename(path.with_suffix(".away"))


@of_the_local_engine  # the storage fails before the engine is called
async def test_bytes_that_are_away_for_a_while_only_delay(
    queued_file: QueuedFile, make_processor: ProcessorFactory, settings: Settings
) -> None:
    path, away = hide_object(queued_file, settings)
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    file = await queued_file.public()
    error = file["last_error"]
    assert isinstance(error, dict)
    assert (file["status"], error["code"], error["retryable"]) == ("in_progress", "internal_error", True)
    away.rename(path)
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    assert (await queued_file.public())["status"] == "in_progress", "the pause between attempts was not kept"
    await queued_file.end_leases()
    await make_processor().process(queued_file.tenant.id, queued_file.file_id)
    assert (await queued_file.public())["status"] == "completed"


@of_the_local_engine  # the storage fails before the engine is called
async def test_bytes_that_never_come_back_are_a_failed_file(
    queued_file: QueuedFile, make_processor: ProcessorFactory, settings: Settings
) -> None:
    hide_object(queued_file, settings)
    for _ in range(MAX_ATTEMPTS):
        assert (await queued_file.public())["status"] == "in_progress"
        await make_processor().process(queued_file.tenant.id, queued_file.file_id)
        await queued_file.end_leases()
    file = await queued_file.public()
    assert file["status"] == "failed"
    error = file["last_error"]
    assert isinstance(error, dict)
    assert (error["code"], error["retryable"]) == ("internal_error", True)
    assert await queued_file.characters() == (0, 0)


async def test_a_working_attempt_keeps_its_lease_and_an_overtaken_one_stops(
    queued_file: QueuedFile, make_processor: ProcessorFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=0.15))
    working = asyncio.Event()

    async def stall() -> None:
        working.set()
        await asyncio.Event().wait()

    attempt = asyncio.create_task(make_processor(stall).process(queued_file.tenant.id, queued_file.file_id))
    await working.wait()
    first_lease = (await queued_file.row())["lease_until"]

    async def extended() -> bool:
        return (await queued_file.row())["lease_until"] != first_lease

    await eventually(extended)
    await queued_file.change("attempt = attempt + 1")
    await attempt
    row = await queued_file.row()
    assert (row["state"], row["attempt"], row["last_error"]) == ("chunking", 2, None)


async def test_uploads_that_a_crash_cut_off_are_cleared_away(tmp_path: Path, task_context: TaskContext) -> None:
    storage = LocalStorage(tmp_path)
    kept, abandoned = tmp_path / "incoming" / "new", tmp_path / "incoming" / "old"
    kept.parent.mkdir()
    for path in (kept, abandoned):
        path.write_bytes(b"half a file")
    os.utime(abandoned, (0, time.time() - 7200))
    await clean.run(replace(task_context, storage=storage))
    assert list(kept.parent.glob("*")) == [kept]
