"""Storage and database after kills and losses: the sweep brings them together again, and harms nothing alive."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.storage import LocalStorage, local
from fastapi_ignite.ingestion import storage_sweep
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.storage_sweep import (
    IMPLAUSIBLE,
    MIN_AGE,
    MIN_AGE_OF_UNKNOWN,
    OBJECTS_A_RUN,
    POSITION,
    StorageSweep,
)
from fastapi_ignite.ingestion.stored_files import StoredFiles
from fastapi_ignite.tasks import NAMED_KEYS
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.multipart_bodies import HEADERS, LAST_BOUNDARY, file_part
from support.tenant_records import counter, rows_of

pytestmark = of_the_local_engine  # no engine has a part in it
ORCHARD = b"The orchard keeps nine apple trees."
ProcessorFactory = Callable[..., FileProcessor]


@dataclass(frozen=True, slots=True)
class Scene:
    """A tenant whose uploads no worker hears of. Its id is the youngest: the sweep of its objects is the last part."""

    tenant: TenantClient
    project: str
    database: Database
    objects: Path
    storage: LocalStorage

    async def upload(self, name: str, content: bytes = ORCHARD) -> UUID:
        """The file's id."""
        answer = await self.tenant.upload(self.project, (name, content), wait_seconds=0)
        return UUID(answer.json()["files"][0]["id"])

    def put(self, key: str, *, age: timedelta) -> None:
        """An object without a row."""
        path = self.objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nobody's")
        grow_old(path, age)

    def orphan_key(self) -> str:
        """Return the key of an object that a killed process would leave without a row."""
        return f"{self.tenant.id}/{self.project}/{new_id()}.{new_id()}"

    def stored_keys(self) -> set[str]:
        """All of the tenant's in storage."""
        folder = self.objects / str(self.tenant.id)
        return {str(path.relative_to(self.objects)) for path in folder.rglob("*") if path.is_file()}

    def path_of(self, row: dict[str, Any]) -> Path:
        return self.objects / str(row["storage_key"])

    async def begin_here(self) -> None:
        """The next run sees this tenant's alone."""
        async with self.database.system() as session:
            await StoredFiles(session).set_position(POSITION, str(self.tenant.id))

    async def sweep(self) -> None:
        await self.begin_here()
        await StorageSweep(self.database, self.storage, NAMED_KEYS).run()

    async def row(self, file_id: UUID) -> dict[str, Any]:
        (row,) = await rows_of(self.database, self.tenant.id, "SELECT * FROM files WHERE id = :id", id=file_id)
        return dict(row)

    async def stored_bytes(self) -> int:
        (row,) = await rows_of(self.database, self.tenant.id, "SELECT stored_bytes FROM storage_usage")
        return int(row["stored_bytes"])

    async def listed(self) -> list[dict[str, Any]]:
        listed = await self.tenant.get(f"/ingestion/projects/{self.project}/files")
        files: list[dict[str, Any]] = listed.json()["files"]
        return files


def grow_old(path: Path, age: timedelta) -> None:
    then = time.time() - age.total_seconds() - 1
    os.utime(path, (then, then))


@pytest.fixture
async def scene(unheard_tenant: TenantClient, database: Database, settings: Settings) -> Scene:
    project = await unheard_tenant.create_project()
    root = settings.ignite.data_dir / "storage"
    return Scene(unheard_tenant, project, database, root / "objects", LocalStorage(root))


class TestAnObjectWithoutARow:
    async def test_of_an_upload_that_is_over_is_removed(self, scene: Scene) -> None:
        file_id = await scene.upload("kept.txt")
        kept = await scene.row(file_id)
        grow_old(scene.path_of(kept), timedelta(days=3))
        orphan, young = scene.orphan_key(), scene.orphan_key()
        scene.put(orphan, age=MIN_AGE)
        scene.put(young, age=timedelta(0))
        await scene.sweep()
        assert scene.stored_keys() == {kept["storage_key"], young}
        assert await scene.row(file_id) == kept

    async def test_of_an_upload_on_its_way_stays(self, scene: Scene) -> None:
        """However old it is: the upload is slow, and its row follows."""
        waiting, may_end = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncGenerator[bytes]:
            yield file_part("first.txt", ORCHARD)
            yield file_part("second.txt", ORCHARD[::-1])
            waiting.set()
            await may_end.wait()
            yield LAST_BOUNDARY

        path = f"/ingestion/projects/{scene.project}/upload_and_attach"
        upload = asyncio.create_task(
            scene.tenant.post(path, content=body(), headers=HEADERS, params={"wait_seconds": 0})
        )
        await waiting.wait()
        for key in scene.stored_keys():
            grow_old(scene.objects / key, timedelta(days=3))
        await scene.sweep()
        may_end.set()
        assert (await upload).status_code == 200
        assert stored_objects_of(scene) == sorted([ORCHARD, ORCHARD[::-1]])

    async def test_of_an_earlier_release_is_removed_after_a_day(self, scene: Scene) -> None:
        old, young = (f"{scene.tenant.id}/{scene.project}/{new_id()}" for _ in range(2))
        scene.put(old, age=MIN_AGE_OF_UNKNOWN)
        scene.put(young, age=MIN_AGE)
        await scene.sweep()
        assert scene.stored_keys() == {young}

    async def test_that_is_nothing_of_ours_stays(self, scene: Scene) -> None:
        foreign = {f"{scene.tenant.id}/notes.txt", f"{scene.tenant.id}/{scene.project}/deeper/notes.txt"}
        for key in foreign:
            scene.put(key, age=timedelta(days=3))
        await scene.sweep()
        assert scene.stored_keys() == foreign

    async def test_every_run_does_a_part(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        """And the next one, perhaps of another process, goes on from there."""
        for _ in range(7):
            scene.put(scene.orphan_key(), age=MIN_AGE)
        monkeypatch.setattr(local, "PAGE_OBJECTS", 2)
        monkeypatch.setattr(storage_sweep, "OBJECTS_A_RUN", 4)
        assert OBJECTS_A_RUN > 4
        left = []
        await scene.begin_here()
        for _ in range(2):
            await StorageSweep(scene.database, scene.storage, NAMED_KEYS).run()
            left.append(len(scene.stored_keys()))
        assert left == [3, 0]


class TestARowWithoutAnObject:
    async def test_that_is_unfinished_fails_so_that_it_is_uploaded_again(self, scene: Scene) -> None:
        file_id = await scene.upload("lost.txt")
        scene.path_of(await scene.row(file_id)).unlink()
        await scene.sweep()
        (file,) = await scene.listed()
        assert (file["status"], file["last_error"]["code"], file["last_error"]["retryable"]) == (
            "failed",
            "content_missing",
            True,
        )
        assert (file["stored_bytes"], await scene.stored_bytes()) == (0, 0)
        assert await counter(scene.database, scene.tenant.id, "characters") == (0, 0)

    async def test_that_somebody_works_on_is_left_to_them(self, scene: Scene) -> None:
        """They may have read it before it was lost."""
        file_id = await scene.upload("read.txt")
        scene.path_of(await scene.row(file_id)).unlink()
        change = "UPDATE files SET lease_until = now() + interval '15 seconds', state = 'chunking'"
        await rows_of(scene.database, scene.tenant.id, change)
        before = await scene.row(file_id)
        await scene.sweep()
        assert await scene.row(file_id) == before

    async def test_that_is_completed_stays_and_counts_no_more(
        self, scene: Scene, make_processor: ProcessorFactory
    ) -> None:
        """Until the object is there again, as after a disk that was away."""
        file_id = await scene.upload("lost.txt")
        await make_processor().process(scene.tenant.id, file_id)
        path = scene.path_of(await scene.row(file_id))
        away = path.rename(path.with_suffix(".away"))
        await scene.sweep()
        (file,) = await scene.listed()
        assert (file["status"], file["stored_bytes"], await scene.stored_bytes()) == ("completed", 0, 0)
        away.rename(path)
        await scene.sweep()
        (file,) = await scene.listed()
        assert (file["stored_bytes"], await scene.stored_bytes()) == (len(ORCHARD), len(ORCHARD))

    async def test_with_most_others_tells_of_another_disk(self, scene: Scene) -> None:
        files = [(f"{number}.txt", f"{number}".encode()) for number in range(IMPLAUSIBLE + 2)]
        await scene.tenant.upload(scene.project, *files, wait_seconds=0)
        for key in scene.stored_keys():
            (scene.objects / key).unlink()
        before = await scene.listed()
        await scene.sweep()
        assert await scene.listed() == before

    async def test_with_all_others_tells_of_an_empty_disk(self, scene: Scene, tmp_path: Path) -> None:
        await scene.upload("a.txt")
        before = await scene.listed()
        async with scene.database.system() as session:
            await StoredFiles(session).set_position(POSITION, "")
        await StorageSweep(scene.database, LocalStorage(tmp_path), NAMED_KEYS).run()
        assert await scene.listed() == before


def stored_objects_of(scene: Scene) -> list[bytes]:
    return sorted((scene.objects / key).read_bytes() for key in scene.stored_keys())
