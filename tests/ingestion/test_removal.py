"""Tests that equal files share their document, and that a removed file is gone at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.processing import FileProcessor
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import counter, eventually, rows_of, stored_objects

ProcessorFactory = Callable[..., FileProcessor]
ORCHARD = b"The orchard keeps nine apple trees. "
QUESTION = "How many apple trees does the orchard keep?"


async def remove(tenant: TenantClient, project: str, file_id: str, *, delete_raw: bool = False) -> httpx2.Response:
    return await tenant.delete(
        f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": file_id, "delete_raw": delete_raw}
    )


async def upload_one(tenant: TenantClient, project: str, name: str, content: bytes = ORCHARD) -> dict[str, object]:
    (file,) = (await tenant.upload(project, (name, content))).json()["files"]
    assert file["status"] == "completed", file
    found: dict[str, object] = file
    return found


async def file_row(database: Database, tenant: TenantClient, file_id: object) -> dict[str, object]:
    (row,) = await rows_of(database, tenant.id, "SELECT * FROM files WHERE id = :id", id=file_id)
    return dict(row)


async def deleted(database: Database, tenant: TenantClient, file_id: object) -> dict[str, object]:
    """Wait until a worker has deleted the file, and return its row."""

    async def done() -> bool:
        return (await file_row(database, tenant, file_id))["state"] == "deleted"

    await eventually(done)
    return await file_row(database, tenant, file_id)


async def receipt_of(tenant: TenantClient, file_id: object) -> dict[str, Any]:
    receipt: dict[str, Any] = (await tenant.get(f"/deletions/{file_id}")).json()
    return receipt


async def index_rows(database: Database, tenant: TenantClient) -> dict[str, int]:
    (row,) = await rows_of(
        database,
        tenant.id,
        "SELECT (SELECT count(*) FROM documents) documents, (SELECT count(*) FROM chunks) chunks, "
        "(SELECT count(*) FROM term_stats) terms, (SELECT coalesce(sum(chunk_count), 0)::int FROM rag_indexes) counted",
    )
    return dict(row)


@pytest.mark.usefixtures("worker")
async def test_the_same_bytes_under_another_name_are_free(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    first = await upload_one(tenant, project, "guide.txt")
    rows = await index_rows(database, tenant)
    second = await upload_one(tenant, project, "copy.txt")
    assert second["id"] != first["id"]
    assert (first["deduplicated"], second["deduplicated"]) == (False, True)
    assert (first["characters"], second["characters"]) == (len(ORCHARD), 0)
    assert await counter(database, tenant.id, "characters") == (len(ORCHARD), 0)
    assert await index_rows(database, tenant) == rows
    listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert [file["filename"] for file in listed] == ["guide.txt", "copy.txt"]


@pytest.mark.usefixtures("worker")
async def test_equal_files_in_one_upload_are_charged_once(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    body = (await tenant.upload(project, *((f"{number}.txt", ORCHARD) for number in range(6)))).json()
    assert body["file_counts"]["processed"] == 6
    assert sorted(file["deduplicated"] for file in body["files"]) == [False, *[True] * 5]
    assert sum(file["characters"] for file in body["files"]) == len(ORCHARD)
    assert await counter(database, tenant.id, "characters") == (len(ORCHARD), 0)
    assert (await index_rows(database, tenant))["documents"] == 1


@pytest.mark.usefixtures("worker")
async def test_another_project_is_charged_for_its_own_copy(tenant: TenantClient, database: Database) -> None:
    for name in ("Docs", "More docs"):
        assert not (await upload_one(tenant, await tenant.create_project(name), "guide.txt"))["deduplicated"]
    assert await counter(database, tenant.id, "characters") == (2 * len(ORCHARD), 0)


@pytest.mark.usefixtures("worker")
async def test_removing_one_of_two_equal_files_keeps_the_other(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    first = await upload_one(tenant, project, "guide.txt")
    second = await upload_one(tenant, project, "copy.txt")
    rows = await index_rows(database, tenant)
    assert (await tenant.ask(project, QUESTION)).json()["citations"][0]["file_id"] == first["id"]
    await remove(tenant, project, str(first["id"]))
    answer = (await tenant.ask(project, QUESTION)).json()
    assert [(cited["file_id"], cited["filename"]) for cited in answer["citations"]] == [(second["id"], "copy.txt")]
    await deleted(database, tenant, first["id"])
    assert await index_rows(database, tenant) == rows
    assert (await tenant.ask(project, QUESTION)).json()["answerable"]


@pytest.mark.usefixtures("worker")
async def test_removing_the_last_one_leaves_a_receipt_and_nothing_else(
    tenant: TenantClient, engine_name: str, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    kept = await upload_one(tenant, project, "kept.txt", b"Pears grow beside the wall.")
    rows = await index_rows(database, tenant)
    content = b"".join(b"Line %d of the orchard's long record of trees.\n" % line for line in range(100))
    file = await upload_one(tenant, project, "long.txt", content)
    chunks = (await index_rows(database, tenant))["chunks"] - rows["chunks"]
    assert chunks > 1 or engine_name == "openai", "which keeps its chunks itself"
    answer = await remove(tenant, project, str(file["id"]), delete_raw=True)
    assert answer.json() == {
        "project_id": project,
        "vector_store_id": (await tenant.get(f"/ingestion/projects/{project}/files")).json()["vector_store_id"],
        "removed_file_id": file["id"],
        "delete_raw": True,
        "deletion_id": file["id"],
    }
    row = await deleted(database, tenant, file["id"])
    assert await index_rows(database, tenant) == rows
    assert stored_objects(settings, tenant.id) == [b"Pears grow beside the wall."]
    receipt = await receipt_of(tenant, file["id"])
    provider_objects = int(engine_name == "openai")
    assert (receipt["kind"], receipt["project_id"], receipt["state"]) == ("file", project, "completed")
    assert len(receipt["provider_ids"]) == provider_objects
    assert receipt["removed"] == {
        "files": 1,
        "chunks": chunks,
        "bytes": len(content),
        "conversations": 0,
        "messages": 0,
        "provider_objects": provider_objects,
        "projects": 0,
        "exports": 0,
        "other_rows": 0,
    }
    assert (row["storage_key"], row["document_id"]) == (None, None)
    listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert [entry["id"] for entry in listed] == [kept["id"]]


@pytest.mark.usefixtures("worker")
async def test_the_bytes_stay_unless_asked_otherwise(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    file = await upload_one(tenant, project, "guide.txt")
    assert (await remove(tenant, project, str(file["id"]))).json()["delete_raw"] is False
    await deleted(database, tenant, file["id"])
    assert stored_objects(settings, tenant.id) == [ORCHARD]


@pytest.mark.usefixtures("worker")
async def test_bytes_that_were_kept_can_be_removed_later(
    tenant: TenantClient, engine_name: str, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    file_id = str((await upload_one(tenant, project, "guide.txt"))["id"])
    await remove(tenant, project, file_id)
    await deleted(database, tenant, file_id)
    assert (await remove(tenant, project, file_id)).status_code == 404
    assert (await remove(tenant, project, file_id, delete_raw=True)).status_code == 200
    await deleted(database, tenant, file_id)
    assert stored_objects(settings, tenant.id) == []
    receipt = await receipt_of(tenant, file_id)
    removed = receipt["removed"]
    assert (removed["chunks"], removed["provider_objects"]) == {"local": (1, 0), "openai": (0, 1)}[engine_name]
    assert (removed["files"], removed["bytes"]) == (1, len(ORCHARD))
    assert (await remove(tenant, project, file_id, delete_raw=True)).status_code == 404


@of_the_local_engine  # no engine knows of stored bytes
async def test_bytes_that_were_kept_are_listed_and_counted_until_they_are_removed(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database
) -> None:
    """This holds before and after a worker has processed the removal."""
    tenant = tenant_without_worker
    project = await tenant.create_project()
    kept, other = (await tenant.upload(project, ("a.txt", ORCHARD), ("b.txt", b"text"), wait_seconds=0)).json()["files"]
    path = f"/ingestion/projects/{project}/files"

    async def removed() -> list[tuple[str, str, int]]:
        listed = (await tenant.get(path, params={"removed": True})).json()["files"]
        return [(file["id"], file["status"], file["stored_bytes"]) for file in listed]

    async def stored() -> int:
        (row,) = await rows_of(database, tenant.id, "SELECT stored_bytes FROM storage_usage")
        return int(row["stored_bytes"])

    assert (kept["stored_bytes"], await removed(), await stored()) == (len(ORCHARD), [], len(ORCHARD) + 4)
    await remove(tenant, project, kept["id"])
    await remove(tenant, project, other["id"], delete_raw=True)
    for work in (None, processor.delete):
        if work:
            for file in (kept, other):
                await work(tenant.id, UUID(file["id"]))
        assert await removed() == [(kept["id"], "cancelled", len(ORCHARD))]
        assert (await tenant.get(path)).json()["files"] == []
    assert await stored() == len(ORCHARD)
    assert (await remove(tenant, project, kept["id"], delete_raw=True)).status_code == 200
    await processor.delete(tenant.id, UUID(kept["id"]))
    assert (await removed(), await stored()) == ([], 0)


async def test_a_removed_file_is_out_of_the_next_answer(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database
) -> None:
    """This holds before any worker has processed the removal."""
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    assert (await tenant.ask(project, QUESTION)).json()["answerable"]
    await remove(tenant, project, file["id"])
    answer = (await tenant.ask(project, QUESTION)).json()
    assert (answer["answerable"], answer["citations"]) == (False, [])
    assert "nine" not in answer["answer"]
    assert (await index_rows(database, tenant))["documents"] == 1
    await processor.delete(tenant.id, UUID(file["id"]))
    assert await index_rows(database, tenant) == {"documents": 0, "chunks": 0, "terms": 0, "counted": 0}


@pytest.mark.usefixtures("worker")
async def test_what_was_removed_can_be_uploaded_again(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    first = await upload_one(tenant, project, "guide.txt")
    await remove(tenant, project, str(first["id"]))
    second = await upload_one(tenant, project, "guide.txt")
    assert (second["deduplicated"], second["characters"]) == (False, len(ORCHARD))
    await deleted(database, tenant, first["id"])
    answer = (await tenant.ask(project, QUESTION)).json()
    assert [cited["file_id"] for cited in answer["citations"]] == [second["id"]]


@of_the_local_engine  # no engine has processed it yet
async def test_twice_is_once(tenant_without_worker: TenantClient, processor: FileProcessor) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    answers = await asyncio.gather(*(remove(tenant, project, file["id"]) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    await processor.delete(tenant.id, UUID(file["id"]))
    answer = await remove(tenant, project, file["id"])
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")


@of_the_local_engine  # no engine has processed it yet
async def test_only_the_owner_removes_and_only_from_the_files_own_project(
    tenant_without_worker: TenantClient, make_tenant: TenantFactory
) -> None:
    tenant = tenant_without_worker
    project, other = await tenant.create_project(), await tenant.create_project("Other")
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    stranger = await make_tenant()
    strange_project = await stranger.create_project()
    for caller, where, code in (
        (stranger, project, "project_not_found"),
        (stranger, strange_project, "file_not_found"),
        (tenant, other, "file_not_found"),
    ):
        answer = await remove(caller, where, file["id"])
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    unknown = await remove(tenant, project, str(new_id()))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "file_not_found")
    assert (await remove(tenant, project, "file_1")).status_code == 422
    assert len((await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]) == 1


async def test_removing_a_file_in_progress_frees_its_characters_and_stops_its_worker(
    tenant_without_worker: TenantClient, database: Database, make_processor: ProcessorFactory, settings: Settings
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    reserved = []

    async def remove_it() -> None:
        reserved.append(await counter(database, tenant.id, "characters"))
        assert (await remove(tenant, project, file["id"], delete_raw=True)).status_code == 200
        reserved.append(await counter(database, tenant.id, "characters"))

    worker = make_processor(remove_it)
    await worker.process(tenant.id, UUID(file["id"]))
    assert reserved == [(0, len(ORCHARD)), (0, 0)]
    assert (await file_row(database, tenant, file["id"]))["state"] == "deleting"
    assert (await index_rows(database, tenant))["documents"] == 0
    await worker.delete(tenant.id, UUID(file["id"]))
    assert (await file_row(database, tenant, file["id"]))["state"] == "deleted"
    assert stored_objects(settings, tenant.id) == []
    assert await counter(database, tenant.id, "characters") == (0, 0)


@of_the_local_engine  # no engine has processed it yet
async def test_a_file_removed_while_its_uploader_waits_is_cancelled(
    tenant_without_worker: TenantClient,
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = f"/ingestion/projects/{project}/files"
    waiting = asyncio.create_task(tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=60))

    async def listed() -> bool:
        return bool((await tenant.get(path)).json()["files"])

    await eventually(listed)
    (file,) = (await tenant.get(path)).json()["files"]
    await remove(tenant, project, file["id"])
    body = (await waiting).json()
    assert body["file_counts"] == {"processed": 0, "in_progress": 0, "failed": 0, "cancelled": 1, "total": 1}
    assert (body["batch_status"], body["files"]) == ("cancelled", [])
