"""Tests that the sweep makes storage and database agree after kills and losses, and harms no upload in progress."""

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

pytestmark = of_the_local_engine  # the sweep calls no engine
ORCHARD = b"The orchard keeps nine apple trees."
ProcessorFactory = Callable[..., FileProcessor]


@dataclass(frozen=True, slots=True)
class SweptStorage:
    """Holds a tenant whose uploads no worker processes. Its id is the newest, so the sweep reaches its objects last."""

    tenant: TenantClient
    project: str
    database: Database
    objects: Path
    storage: LocalStorage

    async def upload(self, name: str, content: bytes = ORCHARD) -> UUID:
        """Upload a file, and return its id."""
        answer = await self.tenant.upload(self.project, (name, content), wait_seconds=0)
        return UUID(answer.json()["files"][0]["id"])

    def put(self, key: str, *, age: timedelta) -> None:
        """Store an object without a row."""
        path = self.objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nobody's")
        set_age(path, age)

    def orphan_key(self) -> str:
        """Return the key of an object that a killed process would leave without a row."""
        return f"{self.tenant.id}/{self.project}/{new_id()}.{new_id()}"

    def stored_keys(self) -> set[str]:
        """Return the keys of all stored objects of the tenant."""
        folder = self.objects / str(self.tenant.id)
        return {str(path.relative_to(self.objects)) for path in folder.rglob("*") if path.is_file()}

    def path_of(self, row: dict[str, Any]) -> Path:
        return self.objects / str(row["storage_key"])

    async def begin_here(self) -> None:
        """Make the next run begin at the objects of this tenant."""
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


def set_age(path: Path, age: timedelta) -> None:
    then = time.time() - age.total_seconds() - 1
    os.utime(path, (then, then))


@pytest.fixture
async def swept(tenant_without_worker: TenantClient, database: Database, settings: Settings) -> SweptStorage:
    project = await tenant_without_worker.create_project()
    root = settings.ignite.data_dir / "storage"
    return SweptStorage(tenant_without_worker, project, database, root / "objects", LocalStorage(root))


class TestAnObjectWithoutARow:
    async def test_of_an_upload_that_is_over_is_removed(self, swept: SweptStorage) -> None:
        file_id = await swept.upload("kept.txt")
        kept = await swept.row(file_id)
        set_age(swept.path_of(kept), timedelta(days=3))
        orphan, young = swept.orphan_key(), swept.orphan_key()
        swept.put(orphan, age=MIN_AGE)
        swept.put(young, age=timedelta(0))
        await swept.sweep()
        assert swept.stored_keys() == {kept["storage_key"], young}
        assert await swept.row(file_id) == kept

    async def test_of_an_upload_on_its_way_stays(self, swept: SweptStorage) -> None:
        """The age of the object does not matter: the upload is slow, and its row follows."""
        waiting, may_end = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncGenerator[bytes]:
            yield file_part("first.txt", ORCHARD)
            yield file_part("second.txt", ORCHARD[::-1])
            waiting.set()
            await may_end.wait()
            yield LAST_BOUNDARY

        path = f"/ingestion/projects/{swept.project}/upload_and_attach"
        upload = asyncio.create_task(
            swept.tenant.post(path, content=body(), headers=HEADERS, params={"wait_seconds": 0})
        )
        await waiting.wait()
        for key in swept.stored_keys():
            set_age(swept.objects / key, timedelta(days=3))
        await swept.sweep()
        may_end.set()
        assert (await upload).status_code == 200
        assert stored_contents(swept) == sorted([ORCHARD, ORCHARD[::-1]])

    async def test_of_an_earlier_release_is_removed_after_a_day(self, swept: SweptStorage) -> None:
        old, young = (f"{swept.tenant.id}/{swept.project}/{new_id()}" for _ in range(2))
        swept.put(old, age=MIN_AGE_OF_UNKNOWN)
        swept.put(young, age=MIN_AGE)
        await swept.sweep()
        assert swept.stored_keys() == {young}

    async def test_that_is_nothing_of_ours_stays(self, swept: SweptStorage) -> None:
        foreign = {f"{swept.tenant.id}/notes.txt", f"{swept.tenant.id}/{swept.project}/deeper/notes.txt"}
        for key in foreign:
            swept.put(key, age=timedelta(days=3))
        await swept.sweep()
        assert swept.stored_keys() == foreign

    async def test_every_run_does_a_part(self, swept: SweptStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next run, perhaps in another process, continues where the last one ended."""
        for _ in range(7):
            swept.put(swept.orphan_key(), age=MIN_AGE)
        monkeypatch.setattr(local, "PAGE_OBJECTS", 2)
        monkeypatch.setattr(storage_sweep, "OBJECTS_A_RUN", 4)
        assert OBJECTS_A_RUN > 4
        left = []
        await swept.begin_here()
        for _ in range(2):
            await StorageSweep(swept.database, swept.storage, NAMED_KEYS).run()
            left.append(len(swept.stored_keys()))
        assert left == [3, 0]


class TestARowWithoutAnObject:
    async def test_that_is_unfinished_fails_so_that_it_is_uploaded_again(self, swept: SweptStorage) -> None:
        file_id = await swept.upload("lost.txt")
        swept.path_of(await swept.row(file_id)).unlink()
        await swept.sweep()
        (file,) = await swept.listed()
        assert (file["status"], file["last_error"]["code"], file["last_error"]["retryable"]) == (
            "failed",
            "content_missing",
            True,
        )
        assert (file["stored_bytes"], await swept.stored_bytes()) == (0, 0)
        assert await counter(swept.database, swept.tenant.id, "characters") == (0, 0)

    async def test_that_somebody_works_on_is_left_to_them(self, swept: SweptStorage) -> None:
        """The worker may have read the object before it was lost."""
        file_id = await swept.upload("read.txt")
        swept.path_of(await swept.row(file_id)).unlink()
        change = "UPDATE files SET lease_until = now() + interval '15 seconds', state = 'chunking'"
        await rows_of(swept.database, swept.tenant.id, change)
        before = await swept.row(file_id)
        await swept.sweep()
        assert await swept.row(file_id) == before

    async def test_that_is_completed_stays_and_counts_no_more(
        self, swept: SweptStorage, make_processor: ProcessorFactory
    ) -> None:
        """It counts again when the object is back, for example after a disk was unavailable."""
        file_id = await swept.upload("lost.txt")
        await make_processor().process(swept.tenant.id, file_id)
        path = swept.path_of(await swept.row(file_id))
        away = path.rename(path.with_suffix(".away"))
        await swept.sweep()
        (file,) = await swept.listed()
        assert (file["status"], file["stored_bytes"], await swept.stored_bytes()) == ("completed", 0, 0)
        away.rename(path)
        await swept.sweep()
        (file,) = await swept.listed()
        assert (file["stored_bytes"], await swept.stored_bytes()) == (len(ORCHARD), len(ORCHARD))

    async def test_with_most_others_tells_of_another_disk(self, swept: SweptStorage) -> None:
        files = [(f"{number}.txt", f"{number}".encode()) for number in range(IMPLAUSIBLE + 2)]
        await swept.tenant.upload(swept.project, *files, wait_seconds=0)
        for key in swept.stored_keys():
            (swept.objects / key).unlink()
        before = await swept.listed()
        await swept.sweep()
        assert await swept.listed() == before

    async def test_with_all_others_tells_of_an_empty_disk(self, swept: SweptStorage, tmp_path: Path) -> None:
        await swept.upload("a.txt")
        before = await swept.listed()
        async with swept.database.system() as session:
            await StoredFiles(session).set_position(POSITION, "")
        await StorageSweep(swept.database, LocalStorage(tmp_path), NAMED_KEYS).run()
        assert await swept.listed() == before


def stored_contents(swept: SweptStorage) -> list[bytes]:
    return sorted((swept.objects / key).read_bytes() for key in swept.stored_keys())
