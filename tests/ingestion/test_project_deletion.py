"""Tests that a deleted project is gone with its answer, and that a worker leaves nothing of it but the receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.project_deletion import ProjectRemover
from fastapi_ignite.rag.engine import RagEngine
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.interrupted_engines import interrupted
from support.multipart_bodies import HEADERS, paused_body
from support.tenant_records import counter, eventually, rows_of, stored_objects

ProcessorFactory = Callable[..., FileProcessor]
ORCHARD = b"The orchard keeps nine apple trees. "
QUESTION = "How many apple trees does the orchard keep?"
LEFT = """
SELECT (SELECT count(*) FROM projects WHERE tenant_id = :tenant) AS projects,
    (SELECT count(*) FROM files WHERE tenant_id = :tenant) AS files,
    (SELECT count(*) FROM documents WHERE tenant_id = :tenant) AS documents,
    (SELECT count(*) FROM chunks WHERE tenant_id = :tenant) AS chunks,
    (SELECT count(*) FROM term_stats WHERE tenant_id = :tenant) AS terms,
    (SELECT count(*) FROM rag_indexes WHERE tenant_id = :tenant) AS indexes,
    (SELECT count(*) FROM conversations WHERE tenant_id = :tenant) AS conversations,
    (SELECT count(*) FROM messages WHERE tenant_id = :tenant) AS messages,
    (SELECT count(*) FROM provider_files WHERE tenant_id = :tenant) AS provider_files,
    (SELECT count(*) FROM provider_stores WHERE tenant_id = :tenant) AS provider_stores
"""


async def delete(tenant: TenantClient, project: str) -> httpx2.Response:
    return await tenant.delete(f"/ingestion/projects/{project}")


async def receipt_of(tenant: TenantClient, project: str) -> dict[str, Any]:
    receipt: dict[str, Any] = (await tenant.get(f"/deletions/{project}")).json()
    return receipt


async def completed(tenant: TenantClient, project: str) -> dict[str, Any]:
    """Wait for the end of the deletion, and return its receipt."""

    async def done() -> bool:
        return bool((await receipt_of(tenant, project))["state"] == "completed")

    await eventually(done)
    return await receipt_of(tenant, project)


async def left_of(database: Database, tenant: TenantClient) -> dict[str, int]:
    """Count all rows of the tenant's projects, also those that its own transactions do not see."""
    async with database.system() as session:
        row = (await session.execute(text(LEFT), {"tenant": tenant.id})).mappings().one()
    return {name: count for name, count in row.items() if count}


@pytest.fixture
def remover(database: Database, state: AppState, worker_engines: Mapping[str, RagEngine]) -> ProjectRemover:
    """Return what the test calls in place of a worker."""
    return ProjectRemover(database=database, storage=state["storage"], engines=worker_engines)


@pytest.mark.usefixtures("worker")
async def test_a_worker_leaves_nothing_but_the_receipt(
    tenant: TenantClient, engine_name: str, database: Database, settings: Settings
) -> None:
    kept = await tenant.create_project("Kept")
    await tenant.upload(kept, ("kept.txt", b"Pears grow beside the wall."))
    before = await left_of(database, tenant)
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", ORCHARD), ("copy.txt", ORCHARD), ("other.txt", b"Plums are blue."))
    assert (await tenant.ask(project, QUESTION)).json()["answerable"]
    answer = await delete(tenant, project)
    assert (answer.status_code, answer.json()["id"], answer.json()["kind"]) == (202, project, "project")
    receipt = await completed(tenant, project)
    assert receipt["completed_at"] >= receipt["requested_at"]
    assert receipt["last_error"] is None
    provider_objects = {"local": 0, "openai": 3}[engine_name]  # the store, and a file for each document
    assert receipt["removed"] == {
        "files": 3,
        "chunks": {"local": 2, "openai": 0}[engine_name],
        "bytes": 2 * len(ORCHARD) + 15,
        "conversations": 1,
        "messages": 2,
        "provider_objects": provider_objects,
        "projects": 1,
        "exports": 0,
        "other_rows": 0,
    }
    assert len(receipt["provider_ids"]) == provider_objects
    assert await left_of(database, tenant) == before
    assert stored_objects(settings, tenant.id) == [b"Pears grow beside the wall."]
    listed = (await tenant.get("/deletions")).json()
    assert [each["id"] for each in listed["deletions"]] == [project]
    assert (await tenant.ask(kept, "Where do pears grow?")).json()["answerable"]


async def test_nobody_sees_it_before_any_worker_has_worked(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database, remover: ProjectRemover
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    used = {"Idempotency-Key": "used-key", "Prefer": "idempotency=replay"}
    answer = (await tenant.ask(project, QUESTION, headers=used)).json()
    assert (await tenant.ask(project, QUESTION, headers=used)).json() == answer
    waiting = (await tenant.upload(project, ("queued.txt", b"text"), wait_seconds=0)).json()["files"][0]
    assert (await delete(tenant, project)).status_code == 202
    path = f"/ingestion/projects/{project}"
    for refused in (
        await tenant.get(path),
        await tenant.patch(path, json={"name": "x"}),
        await delete(tenant, project),
        await tenant.get(f"{path}/files"),
        await tenant.post(f"{path}/ensure_vector_store"),
        await tenant.upload(project, ("more.txt", b"text"), wait_seconds=0),
        await tenant.delete(f"{path}/remove_file", params={"openai_file_id": file["id"]}),
        await tenant.ask(project, QUESTION),
        await tenant.ask(project, QUESTION, headers={"Idempotency-Key": "a-new-key"}),
        await tenant.search(project, QUESTION),
    ):
        assert (refused.status_code, refused.json()["code"]) == (404, "project_not_found")
    assert (await tenant.get(f"/query/messages/{answer['message_id']}")).status_code == 404
    repeated = await tenant.ask(project, QUESTION, headers=used)
    assert (repeated.status_code, repeated.json()["code"]) == (409, "idempotency_duplicate")
    assert (await tenant.get("/ingestion/projects")).json()["projects"] == []
    for table in ("files", "documents", "conversations", "messages"):
        assert await rows_of(database, tenant.id, f"SELECT 1 FROM {table}") == [], table  # noqa: S608  names above
    assert await counter(database, tenant.id, "projects") == (0, 0)
    await processor.process(tenant.id, UUID(waiting["id"]))
    assert (await receipt_of(tenant, project))["state"] == "in_progress"

    again = await tenant.create_project()
    assert again != project
    assert await counter(database, tenant.id, "projects") == (1, 0)
    await remover.run(tenant.id, UUID(project))
    assert await left_of(database, tenant) == {"projects": 1}
    assert await counter(database, tenant.id, "characters") == (len(ORCHARD), 0)
    (usage,) = await rows_of(database, tenant.id, "SELECT * FROM storage_usage")
    assert (usage["stored_bytes"], usage["unfinished_files"], usage["reserved_bytes"]) == (0, 0, 0)


@of_the_local_engine  # no engine has processed it yet
async def test_deleting_twice_at_once_counts_once(tenant_without_worker: TenantClient, database: Database) -> None:
    tenant = tenant_without_worker
    project, _ = await tenant.create_project(), await tenant.create_project("Other")
    answers = await asyncio.gather(*(delete(tenant, project) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 404, 404, 404, 404]
    assert await counter(database, tenant.id, "projects") == (1, 0)


async def test_deleting_while_a_file_is_indexed_ends_its_worker_and_frees_its_characters(
    tenant_without_worker: TenantClient, database: Database, make_processor: ProcessorFactory, remover: ProjectRemover
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    reserved = []

    async def delete_it() -> None:
        reserved.append(await counter(database, tenant.id, "characters"))
        assert (await delete(tenant, project)).status_code == 202
        reserved.append(await counter(database, tenant.id, "characters"))

    await make_processor(delete_it).process(tenant.id, UUID(file["id"]))
    assert reserved == [(0, len(ORCHARD)), (0, 0)]
    left = await left_of(database, tenant)
    assert "documents" not in left
    await remover.run(tenant.id, UUID(project))
    assert await left_of(database, tenant) == {}
    assert (await receipt_of(tenant, project))["removed"]["files"] == 1
    assert await counter(database, tenant.id, "characters") == (0, 0)


@pytest.mark.usefixtures("worker")
async def test_an_answer_that_is_being_made_does_not_leave(
    tenant: TenantClient, engine_settings: Settings, state: AppState, database: Database
) -> None:
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", ORCHARD))

    async def delete_it() -> None:
        await delete(tenant, project)

    async with interrupted(tenant, engine_settings, state, delete_it) as (asking, _):
        answer = await asking.ask(project, QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert await counter(database, tenant.id, "messages") == (0, 0)
    await completed(tenant, project)
    assert await left_of(database, tenant) == {}


@pytest.mark.usefixtures("worker")
async def test_a_search_that_is_under_way_finds_nothing(
    tenant: TenantClient, engine_settings: Settings, state: AppState
) -> None:
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", ORCHARD))

    async def delete_it() -> None:
        await delete(tenant, project)

    async with interrupted(tenant, engine_settings, state, delete_it) as (searching, _):
        answer = await searching.search(project, QUESTION)
    assert answer.json().get("code") == "project_not_found" or answer.json()["results"] == []


@of_the_local_engine  # no engine knows of stored bytes
async def test_an_upload_under_way_ends_without_a_trace(
    tenant_without_worker: TenantClient, database: Database, settings: Settings, remover: ProjectRemover
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    begun, deleted = asyncio.Event(), asyncio.Event()

    uploading = asyncio.create_task(
        tenant.post(
            f"/ingestion/projects/{project}/upload_and_attach", headers=HEADERS, content=paused_body(begun, deleted)
        )
    )
    await begun.wait()
    assert (await delete(tenant, project)).status_code == 202
    deleted.set()
    answer = await uploading
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    await remover.run(tenant.id, UUID(project))
    assert await left_of(database, tenant) == {}
    assert stored_objects(settings, tenant.id) == []
    (usage,) = await rows_of(database, tenant.id, "SELECT * FROM storage_usage")
    assert (usage["stored_bytes"], usage["reserved_bytes"], usage["reserved_files"]) == (0, 0, 0)


@pytest.mark.parametrize("step", ["_remove_files", "_remove_index", "_delete_messages", "_delete_conversations"])
async def test_a_removal_that_dies_after_any_step_is_ended_by_the_next(
    tenant_without_worker: TenantClient,
    processor: FileProcessor,
    database: Database,
    remover: ProjectRemover,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    await tenant.ask(project, QUESTION)
    await delete(tenant, project)
    whole = getattr(ProjectRemover, step)

    async def die(*arguments: Any) -> None:
        await whole(*arguments)
        raise OSError("the worker dies here")

    with monkeypatch.context() as patched:
        patched.setattr(ProjectRemover, step, die)
        await remover.run(tenant.id, UUID(project))
    receipt = await receipt_of(tenant, project)
    assert (receipt["state"], receipt["last_error"]["code"]) == ("in_progress", "internal_error")
    await rows_of(database, tenant.id, "UPDATE deletions SET lease_until = now()")
    await remover.run(tenant.id, UUID(project))
    receipt = await receipt_of(tenant, project)
    assert (receipt["state"], receipt["last_error"]) == ("completed", None)
    removed = receipt["removed"]
    assert (removed["files"], removed["bytes"], removed["conversations"], removed["messages"]) == (
        1,
        len(ORCHARD),
        1,
        2,
    )
    assert await left_of(database, tenant) == {}
    assert stored_objects(settings, tenant.id) == []


async def test_a_file_that_is_being_removed_gets_its_receipt_too(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database, remover: ProjectRemover
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    await tenant.delete(f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": file["id"]})
    await delete(tenant, project)
    await processor.delete(tenant.id, UUID(file["id"]))  # its message comes late
    await remover.run(tenant.id, UUID(project))
    assert [(await receipt_of(tenant, each))["state"] for each in (project, file["id"])] == ["completed"] * 2
    assert await left_of(database, tenant) == {}
