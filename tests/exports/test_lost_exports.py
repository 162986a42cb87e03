"""Tests of exports whose worker died, whose files are lost, or whose lifetime is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from exports.archives import DownloadedArchive
from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.exports.models import IN_PROGRESS, ExportState
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.exports.repository import ExportRepo
from fastapi_ignite.exports.tasks import expire_exports, find_lost_exports
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS, SILENCE, StaleAttemptError
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.infra.storage.local import BUFFER_BYTES, LocalWriter
from support.http_clients import TenantClient
from support.tenant_records import eventually, rows_of, stored_objects


class QueuedExport:
    """Reads and changes a queued export of which no worker got a message. Its tenant has one uploaded file."""

    def __init__(self, tenant: TenantClient, export_id: UUID, database: Database, settings: Settings) -> None:
        self.tenant = tenant
        self.id = export_id
        self._database = database
        self._settings = settings

    async def public(self) -> dict[str, object]:
        """Return the export as the API shows it to the tenant."""
        found: dict[str, object] = (await self.tenant.get(f"/tenants/exports/{self.id}")).json()
        return found

    async def row(self) -> dict[str, object] | None:
        """Return the stored row, or None."""
        rows = await rows_of(self._database, self.tenant.id, "SELECT * FROM exports WHERE id = :id", id=self.id)
        return dict(rows[0]) if rows else None

    async def change(self, assignments: str, **values: object) -> None:
        """Change the row, as if time had passed or a process had died."""
        statement = f"UPDATE exports SET {assignments} WHERE id = :id"  # noqa: S608  the tests of this file write the assignments
        await rows_of(self._database, self.tenant.id, statement, id=self.id, **values)

    def archives(self) -> list[bytes]:
        """Return the stored archives, without the uploaded file."""
        return [content for content in stored_objects(self._settings, self.tenant.id) if content.startswith(b"PK")]

    async def download(self) -> DownloadedArchive:
        return DownloadedArchive(await self.tenant.get(f"/tenants/exports/{self.id}/download"))


@pytest.fixture
async def queued_export(tenant_without_worker: TenantClient, database: Database, settings: Settings) -> QueuedExport:
    project = await tenant_without_worker.create_project()
    await tenant_without_worker.upload(project, ("guide.txt", b"The orchard keeps nine apple trees."), wait_seconds=0)
    answer = await tenant_without_worker.post("/tenants/export", params={"include_files": True})
    return QueuedExport(tenant_without_worker, UUID(answer.json()["id"]), database, settings)


class StallingStorage(LocalStorage):
    """Waits at the start of an archive until the test sets `may_go_on`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.ignite.data_dir / "storage")
        self.begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def writer(self, key: str) -> LocalWriter:
        self.begun.set()
        await self.may_go_on.wait()
        return await super().writer(key)


class FullStorage(LocalStorage):
    """Raises the error of a full disk."""

    async def writer(self, key: str) -> LocalWriter:
        raise OSError(28, "No space left on device", key)


@pytest.mark.usefixtures("worker")
async def test_the_scheduler_finds_an_export_without_a_message(
    queued_export: QueuedExport, task_context: TaskContext
) -> None:
    await queued_export.change("notified_at = :then", then=clock.now() - SILENCE)
    assert await find_lost_exports.run(task_context)

    async def completed() -> bool:
        return (await queued_export.public())["status"] == "completed"

    await eventually(completed)
    assert (await queued_export.download()).manifest["uploads"]["files"] == 1


async def test_a_dead_workers_export_is_done_by_the_next_and_the_dead_one_changes_nothing(
    queued_export: QueuedExport, processor: ExportProcessor, database: Database, settings: Settings
) -> None:
    storage = StallingStorage(settings)
    slow = asyncio.create_task(
        ExportProcessor(database=database, storage=storage).process(queued_export.tenant.id, queued_export.id)
    )
    await storage.begun.wait()
    await processor.process(queued_export.tenant.id, queued_export.id)
    assert (await queued_export.public())["status"] == "running", "the lease was not respected"
    await queued_export.change("lease_until = now()")
    await processor.process(queued_export.tenant.id, queued_export.id)
    after = await queued_export.row()
    assert after is not None
    assert (after["state"], after["attempt"]) == ("completed", 2)
    storage.may_go_on.set()
    await slow
    assert await queued_export.row() == after
    assert queued_export.archives() == [(await queued_export.download()).content], (
        "the dead one's archive was left behind"
    )


async def test_a_lease_is_not_lost_to_the_attempts_own_last_write(
    queued_export: QueuedExport, database: Database
) -> None:
    async def extend() -> None:
        async with asyncio.timeout(60), database.tenant(queued_export.tenant.id) as session:
            await ExportRepo(session, queued_export.tenant.id).extend_lease(queued_export.id, 1)

    async with database.tenant(queued_export.tenant.id) as session:
        exports = ExportRepo(session, queued_export.tenant.id)
        claimed = await exports.claim(queued_export.id, states=IN_PROGRESS, state=ExportState.RUNNING)
    assert claimed is not None
    async with database.tenant(queued_export.tenant.id) as session:
        await ExportRepo(session, queued_export.tenant.id).advance(
            queued_export.id, 1, state=ExportState.FAILED, lease_until=None
        )
        await extend()
    await extend()
    row = await queued_export.row()
    assert row is not None
    assert (row["state"], row["lease_until"]) == ("failed", None)
    await queued_export.change("state = 'running', attempt = 2")
    with pytest.raises(StaleAttemptError):
        await extend()


async def test_an_export_of_a_file_whose_bytes_are_gone_says_so(
    queued_export: QueuedExport, processor: ExportProcessor, settings: Settings
) -> None:
    folder = settings.ignite.data_dir / "storage" / "objects" / str(queued_export.tenant.id)
    (upload,) = [path for path in folder.rglob("*") if path.is_file()]
    upload.unlink()
    await processor.process(queued_export.tenant.id, queued_export.id)
    archive = await queued_export.download()
    assert archive.manifest["uploads"] == {"included": True, "files": 0, "bytes": 0, "missing": 1}
    assert len(archive.rows("files")) == 1
    assert not any(name.startswith("uploads/") for name in archive.names)


async def test_a_full_disk_fails_the_export_after_five_attempts_and_another_may_begin(
    queued_export: QueuedExport, database: Database, tmp_path: Path, processor: ExportProcessor
) -> None:
    broken = ExportProcessor(database=database, storage=FullStorage(tmp_path))
    for _ in range(MAX_ATTEMPTS):
        await broken.process(queued_export.tenant.id, queued_export.id)
        before = await queued_export.row()
        await processor.process(queued_export.tenant.id, queued_export.id)
        assert await queued_export.row() == before, "the pause between attempts was not kept"
        await queued_export.change("lease_until = now()")
    export = await queued_export.public()
    assert export["status"] == "failed"
    assert export["last_error"] == {
        "code": "out_of_space",
        "message": "The export could not be written.",
        "retryable": True,
    }
    assert queued_export.archives() == []
    again = await queued_export.tenant.post("/tenants/export")
    assert again.json()["id"] != str(queued_export.id)
    await processor.process(queued_export.tenant.id, UUID(again.json()["id"]))
    assert (await queued_export.tenant.get(f"/tenants/exports/{again.json()['id']}")).json()["status"] == "completed"


async def test_an_attempt_that_is_cut_off_leaves_no_half_archive(
    queued_export: QueuedExport, database: Database, settings: Settings, processor: ExportProcessor
) -> None:
    class Dying(LocalStorage):
        async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
            blocks = await super().read(key, start=start, length=length)

            async def cut_off() -> AsyncGenerator[bytes]:
                byte_count = 0
                async for block in blocks:
                    yield block
                    byte_count += len(block)
                if byte_count > BUFFER_BYTES:
                    raise asyncio.CancelledError

            return cut_off()

    large = random.Random(1).randbytes(
        3 * BUFFER_BYTES
    )  # random bytes do not compress, so a part of them reaches the disk
    await queued_export.tenant.upload(
        await queued_export.tenant.create_project("Large"), ("large.txt", large), wait_seconds=0
    )
    incoming = settings.ignite.data_dir / "storage" / "incoming"
    before = set(incoming.glob("*"))
    with pytest.raises(asyncio.CancelledError):
        await ExportProcessor(database=database, storage=Dying(settings.ignite.data_dir / "storage")).process(
            queued_export.tenant.id, queued_export.id
        )
    assert set(incoming.glob("*")) <= before
    assert queued_export.archives() == []
    await queued_export.change("lease_until = now()")
    await processor.process(queued_export.tenant.id, queued_export.id)
    assert (await queued_export.download()).manifest["uploads"]["files"] == 2


@pytest.mark.usefixtures("worker")
async def test_an_export_ends_with_its_bytes_after_seven_days(
    queued_export: QueuedExport, processor: ExportProcessor, task_context: TaskContext
) -> None:
    await processor.process(queued_export.tenant.id, queued_export.id)
    export = await queued_export.row()
    assert export is not None
    assert export["expires_at"] == export["completed_at"] + timedelta(days=7)  # type: ignore[operator]  # the value is a datetime
    await expire_exports.run(task_context)
    assert (await queued_export.public())["status"] == "completed"

    await queued_export.change("expires_at = now()")
    for path in (f"/tenants/exports/{queued_export.id}", f"/tenants/exports/{queued_export.id}/download"):
        assert (await queued_export.tenant.get(path)).status_code == 404, "it was shown after its time"
    await expire_exports.run(task_context)

    async def gone() -> bool:
        return await queued_export.row() is None

    await eventually(gone)
    assert queued_export.archives() == []


@pytest.mark.usefixtures("worker")
async def test_a_removal_without_a_message_is_carried_out(
    queued_export: QueuedExport, processor: ExportProcessor, task_context: TaskContext
) -> None:
    await processor.process(queued_export.tenant.id, queued_export.id)
    await queued_export.change("state = 'expired', notified_at = :then", then=clock.now() - SILENCE)
    await find_lost_exports.run(task_context)

    async def gone() -> bool:
        return await queued_export.row() is None

    await eventually(gone)
    assert queued_export.archives() == []


async def test_an_archive_that_storage_lost_is_a_404(
    queued_export: QueuedExport, processor: ExportProcessor, state: AppState
) -> None:
    await processor.process(queued_export.tenant.id, queued_export.id)
    row = await queued_export.row()
    assert row is not None
    await state["storage"].delete(str(row["storage_key"]))
    answer = await queued_export.tenant.get(f"/tenants/exports/{queued_export.id}/download")
    assert (answer.status_code, answer.json()["code"]) == (404, "export_not_found")
