"""Exports whose worker died, whose bytes are away, and whose time is over."""

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


class Scene:
    """One export that no worker was told of, of a tenant with one uploaded file."""

    def __init__(self, tenant: TenantClient, export_id: UUID, database: Database, settings: Settings) -> None:
        self.tenant = tenant
        self.id = export_id
        self._database = database
        self._settings = settings

    async def public(self) -> dict[str, object]:
        """As its owner sees it."""
        found: dict[str, object] = (await self.tenant.get(f"/tenants/exports/{self.id}")).json()
        return found

    async def row(self) -> dict[str, object] | None:
        """As it is stored."""
        rows = await rows_of(self._database, self.tenant.id, "SELECT * FROM exports WHERE id = :id", id=self.id)
        return dict(rows[0]) if rows else None

    async def change(self, assignments: str, **values: object) -> None:
        """Pretend that time passed or a process died."""
        statement = f"UPDATE exports SET {assignments} WHERE id = :id"  # noqa: S608  written in this file
        await rows_of(self._database, self.tenant.id, statement, id=self.id, **values)

    def archives(self) -> list[bytes]:
        """In storage, the upload left out."""
        return [content for content in stored_objects(self._settings, self.tenant.id) if content.startswith(b"PK")]

    async def download(self) -> DownloadedArchive:
        return DownloadedArchive(await self.tenant.get(f"/tenants/exports/{self.id}/download"))


@pytest.fixture
async def scene(unheard_tenant: TenantClient, database: Database, settings: Settings) -> Scene:
    project = await unheard_tenant.create_project()
    await unheard_tenant.upload(project, ("guide.txt", b"The orchard keeps nine apple trees."), wait_seconds=0)
    answer = await unheard_tenant.post("/tenants/export", params={"include_files": True})
    return Scene(unheard_tenant, UUID(answer.json()["id"]), database, settings)


class StallingStorage(LocalStorage):
    """Waits, when an archive is begun, until the test lets it go on."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.ignite.data_dir / "storage")
        self.begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def writer(self, key: str) -> LocalWriter:
        self.begun.set()
        await self.may_go_on.wait()
        return await super().writer(key)


class FullStorage(LocalStorage):
    """Has no room."""

    async def writer(self, key: str) -> LocalWriter:
        raise OSError(28, "No space left on device", key)


@pytest.mark.usefixtures("worker")
async def test_the_scheduler_finds_an_unheard_export(scene: Scene, task_context: TaskContext) -> None:
    await scene.change("notified_at = :then", then=clock.now() - SILENCE)
    assert await find_lost_exports.run(task_context)

    async def completed() -> bool:
        return (await scene.public())["status"] == "completed"

    await eventually(completed)
    assert (await scene.download()).manifest["uploads"]["files"] == 1


async def test_a_dead_workers_export_is_done_by_the_next_and_the_dead_one_changes_nothing(
    scene: Scene, processor: ExportProcessor, database: Database, settings: Settings
) -> None:
    storage = StallingStorage(settings)
    slow = asyncio.create_task(ExportProcessor(database=database, storage=storage).process(scene.tenant.id, scene.id))
    await storage.begun.wait()
    await processor.process(scene.tenant.id, scene.id)
    assert (await scene.public())["status"] == "running", "the lease was not respected"
    await scene.change("lease_until = now()")
    await processor.process(scene.tenant.id, scene.id)
    after = await scene.row()
    assert after is not None
    assert (after["state"], after["attempt"]) == ("completed", 2)
    storage.may_go_on.set()
    await slow
    assert await scene.row() == after
    assert scene.archives() == [(await scene.download()).content], "the dead one's archive was left behind"


async def test_a_lease_is_not_lost_to_the_attempts_own_last_write(scene: Scene, database: Database) -> None:
    async def extend() -> None:
        async with asyncio.timeout(10), database.tenant(scene.tenant.id) as session:
            await ExportRepo(session, scene.tenant.id).extend_lease(scene.id, 1)

    async with database.tenant(scene.tenant.id) as session:
        exports = ExportRepo(session, scene.tenant.id)
        claimed = await exports.claim(scene.id, states=IN_PROGRESS, state=ExportState.RUNNING)
    assert claimed is not None
    async with database.tenant(scene.tenant.id) as session:
        await ExportRepo(session, scene.tenant.id).advance(scene.id, 1, state=ExportState.FAILED, lease_until=None)
        await extend()
    await extend()
    row = await scene.row()
    assert row is not None
    assert (row["state"], row["lease_until"]) == ("failed", None)
    await scene.change("state = 'running', attempt = 2")
    with pytest.raises(StaleAttemptError):
        await extend()


async def test_an_export_of_a_file_whose_bytes_are_gone_says_so(
    scene: Scene, processor: ExportProcessor, settings: Settings
) -> None:
    folder = settings.ignite.data_dir / "storage" / "objects" / str(scene.tenant.id)
    (upload,) = [path for path in folder.rglob("*") if path.is_file()]
    upload.unlink()
    await processor.process(scene.tenant.id, scene.id)
    archive = await scene.download()
    assert archive.manifest["uploads"] == {"included": True, "files": 0, "bytes": 0, "missing": 1}
    assert len(archive.rows("files")) == 1
    assert not any(name.startswith("uploads/") for name in archive.names)


async def test_a_full_disk_fails_the_export_after_five_attempts_and_another_may_begin(
    scene: Scene, database: Database, tmp_path: Path, processor: ExportProcessor
) -> None:
    broken = ExportProcessor(database=database, storage=FullStorage(tmp_path))
    for _ in range(MAX_ATTEMPTS):
        await broken.process(scene.tenant.id, scene.id)
        before = await scene.row()
        await processor.process(scene.tenant.id, scene.id)
        assert await scene.row() == before, "the pause between attempts was not kept"
        await scene.change("lease_until = now()")
    export = await scene.public()
    assert export["status"] == "failed"
    assert export["last_error"] == {
        "code": "out_of_space",
        "message": "The export could not be written.",
        "retryable": True,
    }
    assert scene.archives() == []
    again = await scene.tenant.post("/tenants/export")
    assert again.json()["id"] != str(scene.id)
    await processor.process(scene.tenant.id, UUID(again.json()["id"]))
    assert (await scene.tenant.get(f"/tenants/exports/{again.json()['id']}")).json()["status"] == "completed"


async def test_an_attempt_that_is_cut_off_leaves_no_half_archive(
    scene: Scene, database: Database, settings: Settings, processor: ExportProcessor
) -> None:
    class Dying(LocalStorage):
        async def read(self, key: str) -> AsyncGenerator[bytes]:
            blocks = await super().read(key)

            async def cut_off() -> AsyncGenerator[bytes]:
                byte_count = 0
                async for block in blocks:
                    yield block
                    byte_count += len(block)
                if byte_count > BUFFER_BYTES:
                    raise asyncio.CancelledError

            return cut_off()

    large = random.Random(1).randbytes(3 * BUFFER_BYTES)  # does not shrink: a part of it reaches the disk
    await scene.tenant.upload(await scene.tenant.create_project("Large"), ("large.txt", large), wait_seconds=0)
    incoming = settings.ignite.data_dir / "storage" / "incoming"
    before = set(incoming.glob("*"))
    with pytest.raises(asyncio.CancelledError):
        await ExportProcessor(database=database, storage=Dying(settings.ignite.data_dir / "storage")).process(
            scene.tenant.id, scene.id
        )
    assert set(incoming.glob("*")) <= before
    assert scene.archives() == []
    await scene.change("lease_until = now()")
    await processor.process(scene.tenant.id, scene.id)
    assert (await scene.download()).manifest["uploads"]["files"] == 2


@pytest.mark.usefixtures("worker")
async def test_an_export_ends_with_its_bytes_after_seven_days(
    scene: Scene, processor: ExportProcessor, task_context: TaskContext
) -> None:
    await processor.process(scene.tenant.id, scene.id)
    export = await scene.row()
    assert export is not None
    assert export["expires_at"] == export["completed_at"] + timedelta(days=7)  # type: ignore[operator]  # a datetime
    await expire_exports.run(task_context)
    assert (await scene.public())["status"] == "completed"

    await scene.change("expires_at = now()")
    for path in (f"/tenants/exports/{scene.id}", f"/tenants/exports/{scene.id}/download"):
        assert (await scene.tenant.get(path)).status_code == 404, "it was shown after its time"
    await expire_exports.run(task_context)

    async def gone() -> bool:
        return await scene.row() is None

    await eventually(gone)
    assert scene.archives() == []


@pytest.mark.usefixtures("worker")
async def test_a_removal_that_nobody_heard_of_is_carried_out(
    scene: Scene, processor: ExportProcessor, task_context: TaskContext
) -> None:
    await processor.process(scene.tenant.id, scene.id)
    await scene.change("state = 'expired', notified_at = :then", then=clock.now() - SILENCE)
    await find_lost_exports.run(task_context)

    async def gone() -> bool:
        return await scene.row() is None

    await eventually(gone)
    assert scene.archives() == []


async def test_an_archive_that_storage_lost_is_a_404(scene: Scene, processor: ExportProcessor, state: AppState) -> None:
    await processor.process(scene.tenant.id, scene.id)
    row = await scene.row()
    assert row is not None
    await state["storage"].delete(str(row["storage_key"]))
    answer = await scene.tenant.get(f"/tenants/exports/{scene.id}/download")
    assert (answer.status_code, answer.json()["code"]) == (404, "export_not_found")
