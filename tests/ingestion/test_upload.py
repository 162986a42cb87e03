"""Tests of uploads of good files."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import pytest
from starlette.types import Message

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.main import create_app
from support import sample_files
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory, WithState, client_for
from support.tenant_records import counter, eventually, rows_of, stored_objects

FORMATS = {
    "guide.txt": b"The orchard keeps nine apple trees.",
    "notes.md": b"# Orchard\n\nThe *orchard* keeps nine apple trees.",
    "page.html": b"<html><body><p>The orchard keeps nine apple trees.</p></body></html>",
    "report.pdf": sample_files.make_pdf(["The orchard keeps nine apple trees.", "A second page on pears."]),
    "letter.docx": sample_files.make_docx(["The orchard keeps nine apple trees."]),
    "talk.pptx": sample_files.make_pptx(["The orchard keeps nine apple trees."]),
    "trees.xlsx": sample_files.make_xlsx([["tree", "count"], ["apple", 9]]),
    "trees.csv": b"tree,count\napple,9\n",
    "trees.json": b'{"orchard": {"apple": 9}}',
    "mail.eml": sample_files.make_eml("Orchard", "The orchard keeps nine apple trees."),
    "letter.rtf": sample_files.make_rtf(["The orchard keeps nine apple trees."]),
    "letter.odt": sample_files.make_odt(["The orchard keeps nine apple trees."]),
    "book.epub": sample_files.make_epub(["The orchard keeps nine apple trees."]),
    "orchard.py": b"def trees() -> int:\n    return 9\n",
}


@pytest.mark.usefixtures("worker")
async def test_one_file_is_searchable_when_the_call_returns(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    answer = await tenant.upload(project, ("guide.txt", FORMATS["guide.txt"]))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["project_id"] == project
    assert body["vector_store_id"].startswith("vs_")
    assert body["batch_status"] == "completed"
    assert body["file_counts"] == {"processed": 1, "in_progress": 0, "failed": 0, "cancelled": 0, "total": 1}
    UUID(body["batch_id"])
    (file,) = body["files"]
    assert (file["filename"], file["status"], file["stage"]) == ("guide.txt", "completed", "completed")
    assert (file["bytes"], file["characters"]) == (35, 35)
    assert (file["deduplicated"], file["last_error"]) == (False, None)
    asked = (await tenant.ask(project, "How many apple trees does the orchard keep?")).json()
    assert asked["citations"][0]["file_id"] == file["id"]
    assert await counter(database, tenant.id, "characters") == (35, 0)
    assert (await tenant.get("/limits/current")).json()["usage"]["chars_uploaded"] == 35


@pytest.mark.usefixtures("worker")
async def test_every_format_in_one_upload(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    body = (await tenant.upload(project, *FORMATS.items(), wait_seconds=60)).json()
    assert {file["filename"]: file["last_error"] for file in body["files"]} == dict.fromkeys(FORMATS)
    assert body["batch_status"] == "completed"
    assert body["file_counts"]["processed"] == body["file_counts"]["total"] == len(FORMATS)
    listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert [file["filename"] for file in listed] == list(FORMATS)
    charged = sum(file["characters"] for file in listed)
    stored = await rows_of(database, tenant.id, "SELECT text, char_count FROM documents")
    assert charged == sum(row["char_count"] for row in stored) == sum(len(row["text"]) for row in stored)
    assert await counter(database, tenant.id, "characters") == (charged, 0)


@pytest.mark.usefixtures("worker")
async def test_the_upload_makes_the_vector_store(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    assert (await tenant.get(f"/ingestion/projects/{project}/files")).json()["vector_store_id"] is None
    uploaded = (await tenant.upload(project, ("guide.txt", b"One line of text."))).json()
    again = (await tenant.post(f"/ingestion/projects/{project}/ensure_vector_store")).json()
    assert again == {"project_id": project, "vector_store_id": uploaded["vector_store_id"], "status": "exists"}


async def test_the_vector_store_is_made_once(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    path = f"/ingestion/projects/{project}/ensure_vector_store"
    first, second = (await tenant.post(path)).json(), (await tenant.post(path)).json()
    assert (first["status"], second["status"]) == ("created", "exists")
    assert first["vector_store_id"] == second["vector_store_id"]


@of_the_local_engine  # only the extraction matters
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"blanks stay   \n\n  \n", "blanks stay   \n\n  \n"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("Grüße, 概要 🚀".encode(), "Grüße, 概要 🚀"),
        ("Grüße".encode("utf-16"), "Grüße"),
    ],
)
async def test_a_text_is_counted_as_it_is(tenant: TenantClient, database: Database, sent: bytes, stored: str) -> None:
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("text.txt", sent))).json()["files"]
    assert (file["bytes"], file["characters"]) == (len(sent), len(stored))
    assert [row["text"] for row in await rows_of(database, tenant.id, "SELECT text FROM documents")] == [stored]
    assert await counter(database, tenant.id, "characters") == (len(stored), 0)


@of_the_local_engine  # no engine has processed it yet
async def test_who_does_not_wait_is_answered_in_progress(
    tenant_without_worker: TenantClient, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    body = (await tenant.upload(project, ("guide.txt", b"Some text."), wait_seconds=0)).json()
    assert (body["batch_status"], body["files"][0]["status"]) == ("in_progress", "in_progress")
    assert body["file_counts"] == {"processed": 0, "in_progress": 1, "failed": 0, "cancelled": 0, "total": 1}
    assert (body["files"][0]["characters"], body["files"][0]["embedded"]) == (None, 0)
    assert await counter(database, tenant.id, "characters") == (0, 0)


@pytest.mark.usefixtures("worker")
async def test_the_work_goes_on_without_the_caller(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", b"Some text."), wait_seconds=0)

    async def completed() -> bool:
        listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
        return [file["status"] for file in listed] == ["completed"]

    await eventually(completed)


@of_the_local_engine  # no engine has processed it yet
async def test_a_large_file_arrives_whole(tenant_without_worker: TenantClient, settings: Settings) -> None:
    """The file is larger than other bodies may be, and larger than what is held in memory."""
    project = await tenant_without_worker.create_project()
    content = random.Random(7).randbytes(1_500_000)
    answer = await tenant_without_worker.upload(project, ("noise.bin", content), wait_seconds=0)
    assert (answer.status_code, answer.json()["files"][0]["bytes"]) == (200, len(content))
    assert stored_objects(settings, tenant_without_worker.id) == [content]


async def test_who_leaves_is_not_waited_for(
    engine_settings: Settings,
    state: AppState,
    tenant_without_worker: TenantClient,
    unreachable_jobs: JobQueue,
    processor: FileProcessor,
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    request = tenant.http.build_request(
        "POST", f"/ingestion/projects/{project}/upload_and_attach", files={"files": ("guide.txt", b"Some text.")}
    )
    messages: list[Message] = [
        {"type": "http.request", "body": await request.aread(), "more_body": False},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": request.url.path,
        "query_string": b"wait_seconds=60",
        "headers": [
            (b"authorization", tenant.headers["Authorization"].encode()),
            (b"content-type", request.headers["content-type"].encode()),
        ],
    }

    async def receive() -> Message:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(_: Message) -> None:
        return

    async with asyncio.timeout(60):
        await WithState(create_app(engine_settings), {**state, "jobs": unreachable_jobs})(scope, receive, send)
    (file,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    (file,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert file["status"] == "completed"


@of_the_local_engine  # only the API waits
async def test_callers_who_wait_hold_no_connection(
    engine_settings: Settings,
    state: AppState,
    addresses: ServiceAddresses,
    make_tenant: TenantFactory,
    unreachable_jobs: JobQueue,
    processor: FileProcessor,
) -> None:
    """Six callers wait with a pool of two connections. If they held these, another request would fail after 10 s."""
    tenant = await make_tenant()
    database = Database(addresses.api_url, pool_size=1)
    small: AppState = {**state, "database": database, "jobs": unreachable_jobs}
    async with client_for(engine_settings, small) as client:
        tenant = TenantClient(tenant.id, client, tenant.headers)
        project = await tenant.create_project()
        path = f"/ingestion/projects/{project}/files"
        waiting = [
            asyncio.create_task(tenant.upload(project, (f"{number}.txt", b"text %d" % number), wait_seconds=60))
            for number in range(6)
        ]

        async def all_queued() -> bool:
            return len((await tenant.get(path)).json()["files"]) == len(waiting)

        await eventually(all_queued)
        for file in (await tenant.get(path)).json()["files"]:
            await processor.process(tenant.id, UUID(file["id"]))
        answers = await asyncio.gather(*waiting)
    await database.close()
    assert [answer.json()["batch_status"] for answer in answers] == ["completed"] * len(waiting)


@pytest.mark.usefixtures("worker")
async def test_embedding_follows_and_says_how_far_it_is(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    path = f"/ingestion/projects/{project}/files"
    assert (await tenant.get(path)).json()["embedded"] == 1
    await tenant.upload(project, ("guide.txt", FORMATS["guide.txt"]))
    shares = []

    async def embedded() -> bool:
        listed = (await tenant.get(path)).json()
        shares.append(listed["embedded"])
        assert listed["files"][0]["embedded"] == listed["embedded"]
        return bool(listed["embedded"] == 1)

    await eventually(embedded)
    assert shares == sorted(shares)
    rows = await rows_of(database, tenant.id, "SELECT count(*) AS missing FROM chunks WHERE embedding IS NULL")
    assert rows[0]["missing"] == 0
    (copy,) = (await tenant.upload(project, ("copy.txt", FORMATS["guide.txt"]))).json()["files"]
    assert (copy["deduplicated"], copy["embedded"]) == (True, 1)
