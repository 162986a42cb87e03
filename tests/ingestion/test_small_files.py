"""Tests of small files that are processed together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest
from sqlalchemy import update

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion import batch_processing
from fastapi_ignite.ingestion.batch_processing import BatchProcessor
from fastapi_ignite.ingestion.batch_repository import SMALL_FILE_BYTES, FileBatchRepo
from fastapi_ignite.ingestion.fair_queue import BATCH_FILES
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.rag.engine import RagEngine
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import counter, make_plan, rows_of

NOTES = [(f"note-{number}.txt", f"Note {number} is about apples.".encode()) for number in range(6)]


class QueuedBatch:
    """Files that a tenant has uploaded and that no worker has got a message of."""

    def __init__(self, tenant: TenantClient, project: str, database: Database, processor: BatchProcessor) -> None:
        self.tenant = tenant
        self.project = project
        self._database = database
        self.processor = processor

    async def upload(self, *files: tuple[str, bytes]) -> list[UUID]:
        answer = await self.tenant.upload(self.project, *files, wait_seconds=0)
        return [UUID(file["id"]) for file in answer.raise_for_status().json()["files"]]

    async def claim(self, first: UUID, most: int = BATCH_FILES - 1) -> list[File]:
        """Claim a file and those behind it, as the queue of a worker does."""
        async with self._database.tenant(self.tenant.id) as session:
            file = await FileRepo(session, self.tenant.id).claim(first, states=UNFINISHED, state=FileState.EXTRACTING)
            assert file is not None
            return [file, *await FileBatchRepo(session, self.tenant.id).claim_following(file, most=most)]

    async def work_on(self, files: Sequence[File]) -> None:
        await self.processor.work_on(files)

    async def listed(self) -> dict[str, str]:
        """Return the state of each file, by name, as the tenant sees it; of a failed one the code."""
        files = (await self.tenant.get(f"/ingestion/projects/{self.project}/files")).json()["files"]
        return {file["filename"]: (file["last_error"] or {}).get("code") or file["status"] for file in files}

    async def found(self, query: str) -> list[str]:
        """Return the names of the files that a search finds."""
        return [each["filename"] for each in (await self.tenant.search(self.project, query)).json()["results"]]

    async def transactions(self) -> int:
        """Return in how many transactions the files were completed: those of one transaction have the same time."""
        rows = await rows_of(self._database, self.tenant.id, "SELECT count(DISTINCT completed_at) AS n FROM files")
        return int(rows[0]["n"])

    async def used(self) -> tuple[int, int]:
        """Return the characters that are used, and those that are reserved."""
        return await counter(self._database, self.tenant.id, "characters")


@pytest.fixture
def batch_processor(
    database: Database, worker_engines: Mapping[str, RagEngine], unreachable_jobs: JobQueue, processor: FileProcessor
) -> BatchProcessor:
    return BatchProcessor(database=database, engines=worker_engines, jobs=unreachable_jobs, alone=processor)


@pytest.fixture
async def queued(
    tenant_without_worker: TenantClient, database: Database, batch_processor: BatchProcessor
) -> QueuedBatch:
    project = await tenant_without_worker.create_project()
    return QueuedBatch(tenant_without_worker, project, database, batch_processor)


def characters(files: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(content.decode()) for _, content in files)


async def test_all_of_them_are_completed_and_charged_once(queued: QueuedBatch) -> None:
    first, *_ = await queued.upload(*NOTES)
    claimed = await queued.claim(first)
    assert [file.filename for file in claimed] == [name for name, _ in NOTES]
    await queued.work_on(claimed)
    assert await queued.listed() == {name: "completed" for name, _ in NOTES}
    assert await queued.used() == (characters(NOTES), 0)
    assert "note-3.txt" in await queued.found("note 3")


@of_the_local_engine
async def test_one_transaction_completes_all_of_them(queued: QueuedBatch) -> None:
    first, *_ = await queued.upload(*NOTES)
    await queued.work_on(await queued.claim(first))
    assert await queued.transactions() == 1


async def test_what_is_special_does_not_hold_up_the_others(queued: QueuedBatch) -> None:
    twins = [("one.txt", b"The same words."), ("two.txt", b"The same words.")]
    broken = ("broken.docx", b"PK\x03\x04 not a package")
    first, *_ = await queued.upload(NOTES[0], *twins, broken, NOTES[1])
    await queued.work_on(await queued.claim(first))
    states = await queued.listed()
    assert states.pop("broken.docx") not in {"completed", "in_progress"}
    assert set(states.values()) == {"completed"}
    assert await queued.used() == (characters([NOTES[0], twins[0], NOTES[1]]), 0)
    await queued.upload(*NOTES[:2], NOTES[2])
    again = await rows_of_waiting(queued)
    await queued.work_on(await queued.claim(again[0]))
    assert await queued.used() == (characters([*NOTES[:3], twins[0]]), 0)


async def rows_of_waiting(queued: QueuedBatch) -> list[UUID]:
    files = (await queued.tenant.get(f"/ingestion/projects/{queued.project}/files")).json()["files"]
    return [UUID(file["id"]) for file in files if file["status"] == "in_progress"]


async def test_those_that_fit_the_plan_are_completed(
    tenant_without_worker: TenantClient, make_tenant: TenantFactory, database: Database, batch_processor: BatchProcessor
) -> None:
    size = characters(NOTES[:1])
    made = await make_tenant(await make_plan(database, characters=4 * size + 1))
    tenant = TenantClient(made.id, tenant_without_worker.http, made.headers)
    queued = QueuedBatch(tenant, await tenant.create_project(), database, batch_processor)
    first, *_ = await queued.upload(*NOTES)
    await queued.work_on(await queued.claim(first))
    assert Counter((await queued.listed()).values()) == {"completed": 4, "quota_exceeded": 2}
    assert await queued.used() == (4 * size, 0)


async def test_a_file_that_is_removed_meanwhile_is_not_found(queued: QueuedBatch) -> None:
    files = await queued.upload(*NOTES)
    claimed = await queued.claim(files[0])
    path = f"/ingestion/projects/{queued.project}/remove_file"
    removed = await queued.tenant.delete(path, params={"openai_file_id": str(files[2])})
    assert removed.status_code == 200
    await queued.work_on(claimed)
    assert await queued.listed() == {name: "completed" for name, _ in NOTES if name != "note-2.txt"}
    assert "note-2.txt" not in await queued.found("note 2")
    assert await queued.used() == (characters(NOTES) - characters([NOTES[2]]), 0)


async def test_a_large_file_and_one_that_is_tried_again_are_taken_alone(
    queued: QueuedBatch, database: Database
) -> None:
    large = ("large.txt", b"word " * (SMALL_FILE_BYTES // 5 + 1))
    files = await queued.upload(NOTES[0], large, NOTES[1], NOTES[2])
    async with database.tenant(queued.tenant.id) as session:
        await session.execute(update(File).where(File.id == files[2]).values(attempt=1))
    assert [file.filename for file in await queued.claim(files[0])] == ["note-0.txt", "note-2.txt"]


async def test_the_number_of_files_of_a_batch_is_bounded(queued: QueuedBatch) -> None:
    files = await queued.upload(*NOTES)
    assert len(await queued.claim(files[0], most=3)) == 4
    assert [file.filename for file in await queued.claim(files[4])] == ["note-4.txt", "note-5.txt"]


@of_the_local_engine
async def test_files_that_unpack_to_too_much_text_are_taken_alone(
    queued: QueuedBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_processing, "MOST_CHARACTERS", len(NOTES[0][1]))
    first, *_ = await queued.upload(*NOTES)
    await queued.work_on(await queued.claim(first))
    assert await queued.transactions() > 1
    assert await queued.listed() == {name: "completed" for name, _ in NOTES}
    assert await queued.used() == (characters(NOTES), 0)


@of_the_local_engine
async def test_a_statement_for_all_that_fails_leaves_nothing_half_done(queued: QueuedBatch, database: Database) -> None:
    files = await queued.upload(*NOTES)
    claimed = await queued.claim(files[0])
    # another attempt has taken over one of them after the others were read
    async with database.tenant(queued.tenant.id) as session:
        await session.execute(update(File).where(File.id == files[5]).values(attempt=2, lease_until=None))
    await queued.work_on(claimed)
    states = await queued.listed()
    assert states.pop("note-5.txt") == "in_progress"
    assert set(states.values()) == {"completed"}
    assert await queued.used() == (characters(NOTES[:5]), 0)
    chunks = await rows_of(database, queued.tenant.id, "SELECT count(*) AS n FROM chunks")
    assert chunks[0]["n"] == 5
