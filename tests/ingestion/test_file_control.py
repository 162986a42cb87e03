"""Tests that unfinished files are cancelled, and that failed and cancelled ones are processed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion.processing import FileProcessor
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, client_for
from support.tenant_records import counter, rows_of

ProcessorFactory = Callable[..., FileProcessor]
TEXT = b"The orchard keeps nine apple trees. "


async def queued(tenant: TenantClient, project: str, content: bytes = TEXT, name: str = "a.txt") -> str:
    """Upload a file that nobody processes, and return its path."""
    (file,) = (await tenant.upload(project, (name, content), wait_seconds=0)).json()["files"]
    return f"/ingestion/projects/{project}/files/{file['id']}"


def id_of(path: str) -> UUID:
    return UUID(path.rpartition("/")[2])


async def found(tenant: TenantClient, project: str) -> int:
    return len((await tenant.search(project, "apple trees")).json()["results"])


async def unfinished(database: Database, tenant: TenantClient) -> int:
    (row,) = await rows_of(database, tenant.id, "SELECT unfinished_files FROM storage_usage")
    return int(row["unfinished_files"])


async def cancelled(tenant: TenantClient, path: str) -> dict[str, Any]:
    answer = await tenant.post(f"{path}/cancel")
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    assert (read["status"], read["stage"], read["percentage"]) == ("cancelled", "cancelled", 0)
    return read


async def test_a_cancelled_file_is_neither_searchable_nor_charged(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await queued(tenant, project)
    first, second = await asyncio.gather(cancelled(tenant, path), cancelled(tenant, path))
    assert first == second
    await processor.process(tenant.id, id_of(path))
    assert (await tenant.get(path)).json() == first
    assert first["attempts"] == 0
    assert await found(tenant, project) == 0
    assert await counter(database, tenant.id, "characters") == (0, 0)
    assert await unfinished(database, tenant) == 0


async def test_a_cancellation_stops_the_worker_before_its_last_write(
    tenant_without_worker: TenantClient, make_processor: ProcessorFactory, processor: FileProcessor, database: Database
) -> None:
    """The characters are reserved and the document is prepared, also at the provider, when the file is cancelled."""
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await queued(tenant, project)

    async def cancel() -> None:
        assert await counter(database, tenant.id, "characters") == (0, len(TEXT))
        await cancelled(tenant, path)

    await make_processor(cancel).process(tenant.id, id_of(path))
    assert (await tenant.get(path)).json()["status"] == "cancelled"
    assert await counter(database, tenant.id, "characters") == (0, 0)
    assert await found(tenant, project) == 0
    left = await rows_of(database, tenant.id, "SELECT * FROM documents")
    left += await rows_of(database, tenant.id, "SELECT * FROM provider_files")
    assert left == []

    retried = (await tenant.post(f"{path}/retry")).json()
    assert (retried["status"], retried["stage"], retried["attempts"]) == ("in_progress", "queued", 0)
    await processor.process(tenant.id, id_of(path))
    read = (await tenant.get(path)).json()
    assert (read["status"], read["attempts"]) == ("completed", 1)
    assert await counter(database, tenant.id, "characters") == (len(TEXT), 0)
    assert await found(tenant, project) == 1


@of_the_local_engine  # at a provider, the second attempt waits until the first one's claim has ended
async def test_a_late_worker_of_a_cancelled_file_does_not_disturb_its_retry(
    tenant_without_worker: TenantClient, make_processor: ProcessorFactory, processor: FileProcessor, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await queued(tenant, project)

    async def cancel_and_retry() -> None:
        await cancelled(tenant, path)
        assert (await tenant.post(f"{path}/retry")).is_success
        assert (await tenant.get(path)).json()["status"] == "in_progress"

    await make_processor(cancel_and_retry).process(tenant.id, id_of(path))
    assert (await tenant.get(path)).json()["stage"] == "queued"
    await processor.process(tenant.id, id_of(path))
    assert (await tenant.get(path)).json()["status"] == "completed"
    assert await counter(database, tenant.id, "characters") == (len(TEXT), 0)


async def test_a_finished_file_is_not_cancelled(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await queued(tenant, project)
    await processor.process(tenant.id, id_of(path))
    for action in ("cancel", "retry"):
        answer = await tenant.post(f"{path}/{action}")
        assert (answer.status_code, answer.json()["code"], answer.json()["stage"]) == (
            409,
            "file_finished",
            "completed",
        )
    assert await counter(database, tenant.id, "characters") == (len(TEXT), 0)
    for action in ("cancel", "retry"):
        unknown = await tenant.post(f"/ingestion/projects/{project}/files/{new_id()}/{action}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "file_not_found")


async def test_a_failed_file_is_retried_from_the_beginning(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await queued(tenant, project)
    await rows_of(database, tenant.id, "UPDATE files SET attempt = 40, waits = 3")
    await processor.process(tenant.id, id_of(path))
    failed = (await tenant.get(path)).json()
    assert (failed["status"], failed["last_error"]["code"]) == ("failed", "attempts_exhausted")
    assert (await tenant.post(f"{path}/cancel")).json()["code"] == "file_finished"
    answers = await asyncio.gather(*(tenant.post(f"{path}/retry") for _ in range(3)))
    for answer in answers:
        assert (answer.status_code, answer.json()["status"], answer.json()["last_error"]) == (200, "in_progress", None)
    (retries,) = await rows_of(
        database, tenant.id, "SELECT count(*) AS number FROM audit_events WHERE action = 'file.retried'"
    )
    assert retries["number"] == 1
    assert await unfinished(database, tenant) == 1
    await processor.process(tenant.id, id_of(path))
    read = (await tenant.get(path)).json()
    assert (read["status"], read["attempts"]) == ("completed", 1)


async def test_a_file_without_bytes_is_not_retried(
    tenant_without_worker: TenantClient, database: Database, settings: Settings
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await queued(tenant, project)
    await cancelled(tenant, path)
    for stored in (settings.ignite.data_dir / "storage" / "objects" / str(tenant.id)).rglob("*"):
        if stored.is_file():
            stored.unlink()
    answer = await tenant.post(f"{path}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "content_not_stored")
    assert await unfinished(database, tenant) == 0


@pytest.fixture
async def one_place(
    tenant_without_worker: TenantClient, engine_settings: Settings, state: AppState, unreachable_jobs: JobQueue
) -> AsyncGenerator[TenantClient]:
    """Return a tenant that may have one unfinished file."""
    upload = engine_settings.upload.model_copy(update={"max_queued_files": 1})
    settings = engine_settings.model_copy(update={"upload": upload})
    async with client_for(settings, {**state, "jobs": unreachable_jobs}) as client:
        yield TenantClient(tenant_without_worker.id, client, tenant_without_worker.headers)


async def test_a_retry_needs_room_as_an_upload_does(
    one_place: TenantClient, processor: FileProcessor, database: Database
) -> None:
    tenant = one_place
    project = await tenant.create_project()
    path = await queued(tenant, project)
    await cancelled(tenant, path)
    other = await queued(tenant, project, b"Another text.", "b.txt")
    refused = await tenant.post(f"{path}/retry")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_files_in_progress")
    assert (await tenant.get(path)).json()["status"] == "cancelled"
    await processor.process(tenant.id, id_of(other))
    await rows_of(database, tenant.id, "UPDATE usage_counters SET used = 10 ^ 12 WHERE metric = 'characters'")
    refused = await tenant.post(f"{path}/retry")
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    await rows_of(database, tenant.id, "UPDATE usage_counters SET used = 1 WHERE metric = 'characters'")
    assert (await tenant.post(f"{path}/retry")).json()["status"] == "in_progress"


async def test_a_batch_is_read_in_pages_and_cancelled_but_for_what_is_finished(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi_ignite.ingestion.file_control.CANCELLED_AT_ONCE", 2)
    tenant = tenant_without_worker
    project = await tenant.create_project()
    names = [f"{number}.txt" for number in range(6)]
    sent = [(name, TEXT + name.encode()) for name in names]
    upload = (await tenant.upload(project, *sent, wait_seconds=0)).json()
    batch = f"/ingestion/projects/{project}/batches/{upload['batch_id']}"
    await processor.process(tenant.id, UUID(upload["files"][0]["id"]))
    # one file of the batch is searchable while the others still wait
    assert await found(tenant, project) == 1
    first = (await tenant.get(batch, params={"limit": 4})).json()
    counts = {"processed": 1, "in_progress": 5, "failed": 0, "cancelled": 0, "total": 6}
    assert (first["file_counts"], first["batch_status"], first["has_more"]) == (counts, "in_progress", True)
    rest = (await tenant.get(batch, params={"after": first["next_after"]})).json()
    assert [file["filename"] for file in first["files"] + rest["files"]] == names
    assert (rest["file_counts"], rest["has_more"], rest["next_after"]) == (counts, False, None)
    for _ in range(2):
        ended = (await tenant.post(f"{batch}/cancel")).json()
        assert (ended["file_counts"]["processed"], ended["file_counts"]["cancelled"]) == (1, 5)
        assert ended["batch_status"] == "completed"
    assert await unfinished(database, tenant) == 0
    for call in (tenant.get, tenant.post):
        other = f"/ingestion/projects/{project}/batches/{new_id()}" + ("/cancel" if call == tenant.post else "")
        unknown = await call(other)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "batch_not_found")
