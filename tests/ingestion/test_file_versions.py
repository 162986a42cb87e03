"""Tests that a file gets new versions under its id, that its history is kept, and that there is a way back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.change_feed import ChangeFeed
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.storage_sweep import StorageSweep
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import counter, eventually, make_plan, rows_of, stored_objects

ProcessorFactory = Callable[..., FileProcessor]
OLD = b"The orchard keeps nine apple trees. "
NEW = b"The orchard keeps twelve apple trees, and the gardener likes them. "
QUERY = "How many apple trees does the orchard keep?"


async def put(
    tenant: TenantClient, path: str, content: bytes, name: str = "guide.txt", **query: Any
) -> httpx2.Response:
    return await tenant.put(f"{path}/content", files={"file": (name, content)}, params={"wait_seconds": 30, **query})


async def replaced(tenant: TenantClient, path: str, content: bytes, **query: Any) -> dict[str, Any]:
    answer = await put(tenant, path, content, **query)
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


async def upload_one(tenant: TenantClient, project: str, content: bytes = OLD, name: str = "guide.txt") -> str:
    """Upload a file, and return its path."""
    (file,) = (await tenant.upload(project, (name, content))).json()["files"]
    assert file["status"] == "completed", file
    return f"/ingestion/projects/{project}/files/{file['id']}"


async def processed(tenant: TenantClient, project: str, processor: FileProcessor) -> str:
    """Upload a file of a tenant without a worker, process it, and return its path."""
    (file,) = (await tenant.upload(project, ("a.txt", OLD), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    return f"/ingestion/projects/{project}/files/{file['id']}"


def id_of(path: str) -> UUID:
    return UUID(path.rpartition("/")[2])


async def read(tenant: TenantClient, path: str) -> dict[str, Any]:
    answer = await tenant.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def history(tenant: TenantClient, path: str) -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = (await tenant.get(f"{path}/versions")).json()["versions"]
    return versions


async def restore(tenant: TenantClient, path: str, number: int, **query: Any) -> httpx2.Response:
    return await tenant.post(f"{path}/versions/{number}/restore", params={"wait_seconds": 30, **query})


async def texts_found(tenant: TenantClient, project: str, query: str = QUERY) -> list[str]:
    return [found["text"].strip() for found in (await tenant.search(project, query)).json()["results"]]


async def pending_row(database: Database, tenant: TenantClient, path: str) -> UUID:
    """Return the id of the row of the file's pending version."""
    (row,) = await rows_of(
        database,
        tenant.id,
        "SELECT id FROM files WHERE version_of = :id AND state NOT IN ('deleting', 'deleted')",
        id=path.rpartition("/")[2],
    )
    return UUID(str(row["id"]))


async def require_exact_storage(database: Database, tenant: TenantClient, settings: Settings) -> None:
    """Wait until nothing is being removed, and compare the counted bytes with those of rows and objects."""

    async def nothing_left() -> bool:
        return not await rows_of(database, tenant.id, "SELECT id FROM files WHERE state = 'deleting'")

    await eventually(nothing_left)
    (row,) = await rows_of(
        database,
        tenant.id,
        "SELECT u.stored_bytes, u.unfinished_files, u.reserved_bytes, "
        "(SELECT coalesce(sum(byte_count), 0) FROM files WHERE storage_key IS NOT NULL) AS by_rows, "
        "(SELECT count(*) FROM files WHERE state IN ('queued', 'extracting', 'chunking', 'indexing')) AS unfinished "
        "FROM storage_usage u",
    )
    objects = sum(len(content) for content in stored_objects(settings, tenant.id))
    assert (row["stored_bytes"], row["reserved_bytes"]) == (row["by_rows"], 0)
    assert row["stored_bytes"] == objects
    assert row["unfinished_files"] == row["unfinished"]


@pytest.mark.usefixtures("worker")
async def test_a_new_version_keeps_the_id_and_takes_the_place_of_the_old_one(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    before = await read(tenant, path)
    after = await replaced(tenant, path, NEW, name="guide-2.txt")
    assert after["unchanged"] is False
    assert {name: after[name] for name in ("id", "status", "version", "pending_version", "filename", "created_at")} == {
        "id": before["id"],
        "status": "completed",
        "version": 2,
        "pending_version": None,
        "filename": "guide-2.txt",
        "created_at": before["created_at"],
    }
    assert (after["bytes"], after["characters"], after["embedded"]) == (len(NEW), len(NEW), 1.0)
    assert after["stored_bytes"] == len(OLD) + len(NEW)
    assert await counter(database, tenant.id, "characters") == (len(OLD) + len(NEW), 0)
    assert await texts_found(tenant, project) == [NEW.decode().strip()]
    (listed,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert listed == await read(tenant, path)
    contents = (await tenant.get(f"/ingestion/projects/{project}")).json()
    assert contents["files"] == {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 0, "total": 1}
    await require_exact_storage(database, tenant, settings)
    assert stored_objects(settings, tenant.id) == sorted([OLD, NEW])
    (left,) = await rows_of(database, tenant.id, "SELECT count(*) AS documents FROM documents")
    assert left["documents"] == 1


@pytest.mark.usefixtures("worker")
async def test_the_history_tells_each_version_and_its_bytes(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    second, first = await history(tenant, path)
    assert (second["number"], second["current"], second["replaced_at"]) == (2, True, None)
    assert (first["number"], first["current"], first["bytes"], first["stored_bytes"]) == (1, False, len(OLD), len(OLD))
    assert first["replaced_at"] is not None
    assert first["uploaded_by"]["kind"] == second["uploaded_by"]["kind"] == "token"
    for number, content in ((1, OLD), (2, NEW), (None, NEW)):
        answer = await tenant.get(f"{path}/content", params={"version": number} if number else {})
        assert answer.content == content
    unknown = await tenant.get(f"{path}/content", params={"version": 3})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "version_not_found")
    page = (await tenant.get(f"{path}/versions", params={"limit": 1})).json()
    assert (page["has_more"], page["next_older_than"], len(page["versions"])) == (True, 2, 1)
    page = (await tenant.get(f"{path}/versions", params={"limit": 1, "older_than": 2})).json()
    assert (page["has_more"], page["next_older_than"], page["versions"]) == (False, None, [first])


@pytest.mark.usefixtures("worker")
async def test_the_same_bytes_make_no_version(tenant: TenantClient, database: Database, settings: Settings) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    same = await replaced(tenant, path, OLD, name="other.txt")
    assert (same["unchanged"], same["version"], same["filename"]) == (True, 1, "guide.txt")
    assert len(await history(tenant, path)) == 1
    assert stored_objects(settings, tenant.id) == [OLD]
    await require_exact_storage(database, tenant, settings)


@pytest.mark.usefixtures("worker")
async def test_the_bytes_of_another_file_are_shared(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    other = await upload_one(tenant, project, NEW, "other.txt")
    after = await replaced(tenant, path, NEW)
    assert (after["deduplicated"], after["characters"], after["version"]) == (True, 0, 2)
    assert await counter(database, tenant.id, "characters") == (len(OLD) + len(NEW), 0)
    back = await replaced(tenant, path, OLD + b"Changed.")
    assert back["version"] == 3
    assert sorted(await texts_found(tenant, project)) == sorted([NEW.decode().strip(), (OLD + b"Changed.").decode()])
    assert (await read(tenant, other))["status"] == "completed"


@pytest.mark.usefixtures("worker")
async def test_a_restored_version_is_a_new_one_and_costs_nothing(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    answer = await restore(tenant, path, 1)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"], answer.json()["characters"], answer.json()["unchanged"]) == (3, 0, False)
    assert await texts_found(tenant, project) == [OLD.decode().strip()]
    assert await counter(database, tenant.id, "characters") == (len(OLD) + len(NEW), 0)
    again = await restore(tenant, path, 1)
    assert (again.json()["version"], again.json()["unchanged"]) == (3, True)
    assert [version["number"] for version in await history(tenant, path)] == [3, 2, 1]
    unknown = await restore(tenant, path, 9)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "version_not_found")
    await require_exact_storage(database, tenant, settings)


@pytest.mark.usefixtures("worker")
async def test_a_version_can_be_restored_when_no_character_is_left(
    make_tenant: TenantFactory, database: Database
) -> None:
    plan = await make_plan(database, characters=len(OLD) + len(NEW))
    tenant = await make_tenant(plan)
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    refused = await put(tenant, path, b"Something new.")
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded"), refused.text
    assert (await restore(tenant, path, 1)).json()["version"] == 3


async def test_the_old_version_answers_until_the_new_one_is_whole(
    tenant_without_worker: TenantClient, make_processor: ProcessorFactory, processor: FileProcessor, database: Database
) -> None:
    """It also answers while the new one is prepared, at the provider too, and when a worker dies there."""
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("a.txt", OLD), wait_seconds=0)).json()["files"]
    path = f"/ingestion/projects/{project}/files/{file['id']}"
    refused = await put(tenant, path, NEW, wait_seconds=0)
    assert (refused.status_code, refused.json()["code"]) == (409, "file_in_progress")
    await processor.process(tenant.id, UUID(file["id"]))
    waiting = await replaced(tenant, path, NEW, wait_seconds=0)
    assert (waiting["version"], waiting["status"], waiting["characters"]) == (1, "completed", len(OLD))
    assert waiting["pending_version"]["number"] == 2
    assert (waiting["pending_version"]["status"], waiting["pending_version"]["percentage"]) == ("in_progress", 0)
    row = await pending_row(database, tenant, path)
    seen: list[str] = []

    async def die() -> None:
        seen.extend(await texts_found(tenant, project))
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await make_processor(die).process(tenant.id, row)
    assert seen == await texts_found(tenant, project) == [OLD.decode().strip()]
    assert await counter(database, tenant.id, "characters") == (len(OLD), len(NEW))
    await rows_of(database, tenant.id, "UPDATE files SET lease_until = NULL WHERE id = :id", id=row)
    if (await tenant.get(f"/ingestion/projects/{project}")).json()["engine"] == "openai":
        await rows_of(database, tenant.id, "UPDATE provider_files SET lease_until = now() - interval '1 second'")
    await processor.process(tenant.id, row)
    assert await texts_found(tenant, project) == [NEW.decode().strip()]
    assert await counter(database, tenant.id, "characters") == (len(OLD) + len(NEW), 0)


async def test_a_newer_version_takes_the_place_of_a_pending_one(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database, settings: Settings
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await processed(tenant, project, processor)
    await replaced(tenant, path, b"A version that nobody will see.", wait_seconds=0)
    dropped = await pending_row(database, tenant, path)
    answers = await asyncio.gather(*(put(tenant, path, NEW + bytes([65 + n]), wait_seconds=0) for n in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    last = max(answer.json()["pending_version"]["number"] for answer in answers)
    assert last == 6
    row = await pending_row(database, tenant, path)
    await processor.process(tenant.id, dropped)
    await processor.process(tenant.id, row)
    after = await read(tenant, path)
    assert (after["version"], after["pending_version"]) == (6, None)
    for each in await rows_of(database, tenant.id, "SELECT id FROM files WHERE state = 'deleting'"):
        await processor.delete(tenant.id, each["id"])
    await require_exact_storage(database, tenant, settings)
    assert await counter(database, tenant.id, "characters") == (len(OLD) + len(NEW) + 1, 0)
    assert [version["number"] for version in await history(tenant, path)] == [6, 1]


async def test_a_pending_version_is_dropped_by_a_cancellation(
    tenant_without_worker: TenantClient, make_processor: ProcessorFactory, database: Database, settings: Settings
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await processed(tenant, project, make_processor())
    await replaced(tenant, path, NEW, wait_seconds=0)
    row = await pending_row(database, tenant, path)

    async def cancel() -> None:
        assert await counter(database, tenant.id, "characters") == (len(OLD), len(NEW))
        answer = await tenant.post(f"{path}/cancel")
        assert (answer.status_code, answer.json()["pending_version"]) == (200, None)

    await make_processor(cancel).process(tenant.id, row)
    assert await texts_found(tenant, project) == [OLD.decode().strip()]
    assert (await read(tenant, path))["status"] == "completed"
    assert await counter(database, tenant.id, "characters") == (len(OLD), 0)
    refused = await tenant.post(f"{path}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "file_finished")
    await make_processor().delete(tenant.id, row)
    await require_exact_storage(database, tenant, settings)
    assert stored_objects(settings, tenant.id) == [OLD]


@pytest.mark.usefixtures("worker")
async def test_a_version_over_the_quota_leaves_the_old_one_and_can_be_tried_again(
    make_tenant: TenantFactory, database: Database
) -> None:
    plan = await make_plan(database, characters=len(OLD) + 5)
    tenant = await make_tenant(plan)
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    refused = await put(tenant, path, NEW)
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    file = await read(tenant, path)
    assert (file["status"], file["version"], file["last_error"]) == ("completed", 1, None)
    pending = file["pending_version"]
    assert (pending["status"], pending["last_error"]["code"]) == ("failed", "quota_exceeded")
    assert await texts_found(tenant, project) == [OLD.decode().strip()]
    assert await counter(database, tenant.id, "characters") == (len(OLD), 0)
    async with database.system() as session:
        await session.execute(text("UPDATE plans SET monthly_upload_char_cap = 10000 WHERE id = :id"), {"id": plan})
    assert (await tenant.post(f"{path}/retry")).status_code == 200

    async def done() -> bool:
        return bool((await read(tenant, path))["version"] == 2)

    await eventually(done)
    assert await texts_found(tenant, project) == [NEW.decode().strip()]


@pytest.mark.usefixtures("worker")
async def test_a_bad_version_leaves_the_old_one_and_a_good_one_mends_a_failed_file(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    bad = await replaced(tenant, path, b"%PDF-1.7 broken", name="broken.pdf")
    assert (bad["status"], bad["version"], bad["pending_version"]["status"]) == ("completed", 1, "failed")
    assert await texts_found(tenant, project) == [OLD.decode().strip()]
    assert (await replaced(tenant, path, NEW))["version"] == 3
    (failed,) = (await tenant.upload(project, ("broken.pdf", b"%PDF-1.7 broken"))).json()["files"]
    assert failed["status"] == "failed"
    mended = f"/ingestion/projects/{project}/files/{failed['id']}"
    after = await replaced(tenant, mended, b"The gardener has mended the gate.", name="gate.txt")
    assert (after["status"], after["version"], after["last_error"]) == ("completed", 2, None)
    assert [version["number"] for version in await history(tenant, mended)] == [2]
    await require_exact_storage(database, tenant, settings)


@pytest.mark.usefixtures("worker")
async def test_only_so_many_earlier_versions_keep_their_bytes(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    for number in range(2, 9):
        await replaced(tenant, path, NEW + b"%d" % number)
    await require_exact_storage(database, tenant, settings)
    versions = await history(tenant, path)
    assert [version["number"] for version in versions if version["stored_bytes"]] == [8, 7, 6, 5, 4, 3]
    gone = await restore(tenant, path, 1)
    assert (gone.status_code, gone.json()["code"]) == (409, "content_not_stored")
    assert (await tenant.get(f"{path}/content", params={"version": 1})).status_code == 410
    assert (await read(tenant, path))["stored_bytes"] == sum(version["stored_bytes"] for version in versions)


@pytest.mark.usefixtures("worker")
async def test_a_removed_file_takes_its_versions_with_it(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    await replaced(tenant, path, b"%PDF-1.7 broken", name="broken.pdf")
    file_id = path.rpartition("/")[2]

    async def remove(*, delete_raw: bool) -> None:
        answer = await tenant.delete(
            f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": file_id, "delete_raw": delete_raw}
        )
        assert answer.status_code == 200, answer.text
        await require_exact_storage(database, tenant, settings)

    await remove(delete_raw=False)
    assert stored_objects(settings, tenant.id) == sorted([OLD, NEW])
    assert await texts_found(tenant, project) == []
    assert (await tenant.get(f"{path}/versions")).status_code == 404
    (kept,) = (await tenant.get(f"/ingestion/projects/{project}/files", params={"removed": True})).json()["files"]
    assert kept["stored_bytes"] == len(OLD) + len(NEW)
    await remove(delete_raw=True)
    assert stored_objects(settings, tenant.id) == []


async def test_a_file_removed_while_its_version_is_made_stays_removed(
    tenant_without_worker: TenantClient, make_processor: ProcessorFactory, database: Database, settings: Settings
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await processed(tenant, project, make_processor())
    await replaced(tenant, path, NEW, wait_seconds=0)
    row = await pending_row(database, tenant, path)

    async def remove() -> None:
        await tenant.delete(
            f"/ingestion/projects/{project}/remove_file",
            params={"openai_file_id": str(id_of(path)), "delete_raw": True},
        )

    await make_processor(remove).process(tenant.id, row)
    assert await texts_found(tenant, project) == []
    assert (await tenant.get(path)).status_code == 404
    assert await counter(database, tenant.id, "characters") == (len(OLD), 0)
    for each in (row, id_of(path)):
        await make_processor().delete(tenant.id, each)
    await require_exact_storage(database, tenant, settings)
    assert stored_objects(settings, tenant.id) == []


@pytest.mark.usefixtures("worker")
async def test_a_text_names_its_version_and_an_earlier_citation_is_told_that_it_is_outdated(
    tenant: TenantClient,
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    (cited, *_) = (await tenant.ask(project, QUERY)).json()["citations"]
    assert cited["version"] == 1
    around = {"start": cited["char_start"], "end": cited["char_end"], "version": cited["version"]}
    assert (await tenant.get(f"{path}/text", params=around)).json()["text"] == cited["quote"]
    await replaced(tenant, path, NEW)
    outdated = await tenant.get(f"{path}/text", params=around)
    assert (outdated.status_code, outdated.json()["code"], outdated.json()["version"]) == (410, "version_replaced", 2)
    assert (await tenant.get(f"{path}/text")).json()["version"] == 2
    assert (await tenant.get(f"{path}/text", params={"version": 7})).status_code == 404


@pytest.mark.usefixtures("worker")
async def test_a_repeated_request_makes_one_version(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    headers = {"Idempotency-Key": "version-1", "Prefer": "idempotency=replay"}

    async def send() -> httpx2.Response:
        return await tenant.put(f"{path}/content", files={"file": ("guide.txt", NEW)}, headers=headers)

    first, second = await send(), await send()
    assert (first.status_code, second.status_code) == (200, 200), (first.text, second.text)
    assert first.json()["version"] == second.json()["version"] == 2
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(await history(tenant, path)) == 2


@pytest.mark.usefixtures("worker")
async def test_what_is_no_version_is_refused(tenant: TenantClient, settings: Settings) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    empty = await put(tenant, path, b"")
    assert (empty.status_code, empty.json()["code"]) == (422, "empty_file")
    none = await tenant.put(f"{path}/content", files={"files": ("a.txt", NEW)})
    assert (none.status_code, none.json()["code"]) == (422, "no_files")
    two = await tenant.put(f"{path}/content", files=[("file", ("a.txt", NEW)), ("file", ("b.txt", NEW))])
    assert (two.status_code, two.json()["code"]) == (422, "too_many_files")
    assert stored_objects(settings, tenant.id) == [OLD]
    assert (await read(tenant, path))["version"] == 1


@pytest.mark.usefixtures("worker")
async def test_a_version_can_be_restored_after_the_plan_has_become_smaller(
    make_tenant: TenantFactory, database: Database
) -> None:
    plan = await make_plan(database, characters=1000)
    tenant = await make_tenant(plan)
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    async with database.system() as session:
        await session.execute(text("UPDATE plans SET monthly_upload_char_cap = 5 WHERE id = :id"), {"id": plan})
    answer = await restore(tenant, path, 1)
    assert (answer.status_code, answer.json().get("version")) == (200, 3), answer.text


@pytest.mark.usefixtures("worker")
async def test_two_files_that_exchange_their_contents_do_not_block_each_other(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    one = await upload_one(tenant, project, OLD, "one.txt")
    other = await upload_one(tenant, project, NEW, "other.txt")
    for _ in range(3):
        answers = await asyncio.gather(put(tenant, one, NEW), put(tenant, other, OLD))
        assert [answer.json()["pending_version"] for answer in answers] == [None, None]
        answers = await asyncio.gather(put(tenant, one, OLD), put(tenant, other, NEW))
        assert [answer.json()["status"] for answer in answers] == ["completed"] * 2
    assert sorted(await texts_found(tenant, project)) == sorted([OLD.decode().strip(), NEW.decode().strip()])
    used, reserved = await counter(database, tenant.id, "characters")
    # who comes second finds the other's document, or has to pay for bytes that the project does not have any more
    assert reserved == 0
    assert used >= len(OLD) + len(NEW)
    await require_exact_storage(database, tenant, settings)


@pytest.mark.usefixtures("worker")
async def test_a_stream_tells_the_pending_version_and_the_swap(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    path = await processed(tenant, project, processor)
    await replaced(tenant, path, NEW, wait_seconds=0)
    row = await pending_row(database, tenant, path)
    feed = ChangeFeed(database, tenant.id, UUID(project))
    (waiting,) = [each async for each in feed.since("start")]
    assert waiting.pending is not None
    assert (waiting.id, waiting.state, waiting.version, waiting.pending.number) == (id_of(path), "completed", 1, 2)
    watching = asyncio.create_task(tenant.get(f"{path}/events"))
    await processor.process(tenant.id, row)
    told = [json.loads(line.removeprefix("data: ")) for line in (await watching).text.splitlines() if "data: " in line]
    assert told[-1] == {"status": "completed"}
    assert (told[-2]["version"], told[-2]["pending_version"]) == (2, None)
    (swapped,) = {each.id: each async for each in feed.since(waiting.position)}.values()
    assert (swapped.id, swapped.version, swapped.pending) == (id_of(path), 2, None)


@pytest.mark.usefixtures("worker")
async def test_a_deleted_project_takes_versions_and_their_bytes_with_it(
    tenant: TenantClient, database: Database, settings: Settings
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    await replaced(tenant, path, b"%PDF-1.7 broken", name="broken.pdf")
    await tenant.delete(f"/ingestion/projects/{project}")

    async def deleted() -> bool:
        return bool((await tenant.get(f"/deletions/{project}")).json()["state"] == "completed")

    await eventually(deleted)
    receipt = (await tenant.get(f"/deletions/{project}")).json()
    assert receipt["removed"]["files"] == 1
    assert stored_objects(settings, tenant.id) == []
    (row,) = await rows_of(database, tenant.id, "SELECT stored_bytes, unfinished_files FROM storage_usage")
    assert (row["stored_bytes"], row["unfinished_files"]) == (0, 0)


@pytest.mark.usefixtures("worker")
async def test_the_sweep_keeps_the_bytes_of_versions_and_notices_their_loss(
    tenant: TenantClient, database: Database, settings: Settings, state: AppState
) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    await require_exact_storage(database, tenant, settings)
    keys = [
        row["storage_key"]
        for row in await rows_of(database, tenant.id, "SELECT storage_key FROM files ORDER BY version")
    ]
    folder = settings.ignite.data_dir / "storage" / "objects"
    for key in keys:
        os.utime(folder / key, (0, 0))
    sweep = StorageSweep(database, state["storage"], [])
    await sweep.run()
    await sweep.run()
    assert stored_objects(settings, tenant.id) == sorted([OLD, NEW])
    await state["storage"].delete(keys[0])
    await sweep.run()
    await sweep.run()
    assert [version["stored_bytes"] for version in await history(tenant, path)] == [len(NEW), 0]
    gone = await restore(tenant, path, 1)
    assert (gone.status_code, gone.json()["code"]) == (409, "content_not_stored")


@pytest.mark.usefixtures("worker")
async def test_versions_of_other_tenants_are_unknown(tenant: TenantClient, make_tenant: TenantFactory) -> None:
    project = await tenant.create_project()
    path = await upload_one(tenant, project)
    await replaced(tenant, path, NEW)
    stranger = await make_tenant()
    own = await stranger.create_project()
    for base in (path, path.replace(project, own)):
        answers = [await put(stranger, base, OLD), await restore(stranger, base, 1)]
        answers += [await stranger.get(f"{base}/{part}") for part in ("versions", "content?version=1")]
        assert [answer.status_code for answer in answers] == [404] * 4
    assert [version["number"] for version in await history(tenant, path)] == [2, 1]
