"""Tests that an export contains all data of its tenant and none of another tenant."""

from __future__ import annotations

import asyncio
import hashlib
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from exports.archives import DownloadedArchive
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.exports.service import MOST_KEPT
from fastapi_ignite.infra.db import Database
from support.both_engines import *  # noqa: F403  fixtures: archives hold the projects of both engines
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import eventually, rows_of

ORCHARD = b"The orchard keeps nine apple trees."
METERS = "\ufeffMeter 7 läuft.".encode()


async def export(tenant: TenantClient, *, include_files: bool = False) -> str:
    answer = await tenant.post("/tenants/export", params={"include_files": include_files})
    assert answer.status_code == 202, answer.text
    export_id: str = answer.json()["id"]
    return export_id


async def completed(tenant: TenantClient, export_id: str) -> dict[str, object]:
    """Wait until the export is completed, and return it."""
    found: dict[str, object] = {}

    async def ended() -> bool:
        found.update((await tenant.get(f"/tenants/exports/{export_id}")).json())
        return found["status"] not in {"queued", "running"}

    await eventually(ended)
    assert found["status"] == "completed", found
    return found


async def download(tenant: TenantClient, export_id: str) -> DownloadedArchive:
    return DownloadedArchive(await tenant.get(f"/tenants/exports/{export_id}/download"))


@pytest.mark.usefixtures("worker")
async def test_an_archive_holds_what_the_tenant_made(tenant: TenantClient) -> None:
    project = await tenant.create_project("Docs")
    sent = [("guide.TXT", ORCHARD), ("../../etc/mëter.p d f", METERS)]
    uploaded = (await tenant.upload(project, *sent, attributes={"year": 2024, "final": True})).json()
    removed = (await tenant.upload(project, ("removed.txt", b"Gone."))).json()["files"][0]["id"]
    await tenant.delete(f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": removed})
    asked = (await tenant.ask(project, "How many apple trees does the orchard keep?")).json()
    export_id = await export(tenant, include_files=True)
    status = await completed(tenant, export_id)

    answer = await tenant.get(f"/tenants/exports/{export_id}/download")
    archive = DownloadedArchive(answer)
    head = await tenant.http.head(f"/tenants/exports/{export_id}/download", headers=tenant.headers)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]
    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == status["bytes"] == len(archive.content)
    assert status["sha256"] == hashlib.sha256(archive.content).hexdigest()
    assert (archive.manifest["export_id"], archive.manifest["tenant_id"]) == (export_id, str(tenant.id))

    assert [row["id"] for row in archive.rows("tenant")] == [str(tenant.id)]
    assert [row["plan_id"] for row in archive.rows("subscription")] == ["hobby"]
    assert [(row["id"], row["name"]) for row in archive.rows("projects")] == [(project, "Docs")]
    files = {row["id"]: row for row in archive.rows("files")}
    assert files.keys() == {file["id"] for file in uploaded["files"]}
    assert not any("storage" in column or "lease" in column for row in files.values() for column in row)
    first, second = (files[file["id"]] for file in uploaded["files"])
    assert (first["filename"], first["state"], first["char_count"]) == ("guide.TXT", "completed", len(ORCHARD))
    assert first["attributes"] == second["attributes"] == {"year": 2024, "final": True}
    assert (first["path"], second["path"]) == (f"uploads/{first['id']}.txt", f"uploads/{second['id']}")
    for row, content in ((first, ORCHARD), (second, METERS)):
        assert archive.read(row["path"]) == content
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert archive.manifest["uploads"] == {
        "included": True,
        "files": 2,
        "bytes": len(ORCHARD) + len(METERS),
        "missing": 0,
    }
    (conversation,) = archive.rows("conversations")
    assert (conversation["id"], conversation["project_id"]) == (asked["conversation_id"], project)
    question, reply = archive.rows("messages")
    assert (question["role"], reply["role"], reply["id"]) == ("user", "assistant", asked["message_id"])
    assert (reply["content"], reply["citations"]) == (asked["answer"], asked["citations"])
    usage = {row["metric"]: row["amount"] for row in archive.rows("usage")}
    assert usage["messages"] == 1
    assert archive.rows("usage_months") == []


@pytest.mark.usefixtures("worker")
async def test_uploads_stay_outside_unless_asked_for(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", ORCHARD))
    export_id = await export(tenant)
    await completed(tenant, export_id)
    archive = await download(tenant, export_id)
    assert [row["path"] for row in archive.rows("files")] == [None]
    assert archive.manifest["uploads"]["included"] is False
    assert not any(name.startswith("uploads/") for name in archive.names)


async def test_tables_longer_than_a_page_are_whole_and_in_order(
    tenant_without_worker: TenantClient, processor: ExportProcessor, database: Database
) -> None:
    project = await tenant_without_worker.create_project()
    conversation, ids = new_id(), sorted(new_id() for _ in range(450))
    async with database.tenant(tenant_without_worker.id) as session:
        await session.execute(
            text("INSERT INTO conversations (tenant_id, id, project_id) VALUES (:t, :c, :p)"),
            {"t": tenant_without_worker.id, "c": conversation, "p": UUID(project)},
        )
        await session.execute(
            text(
                "INSERT INTO messages (tenant_id, id, conversation_id, role, content, state) "
                "VALUES (:t, :id, :c, 'user', :content, 'completed')"
            ),
            [
                {"t": tenant_without_worker.id, "id": each, "c": conversation, "content": f"Wie, «{each}»?\n"}
                for each in ids
            ],
        )
        await session.execute(
            text(
                "INSERT INTO usage_daily (tenant_id, metric, day, amount) "
                "SELECT :t, metric, date '2025-01-01' + n, n FROM generate_series(0, 149) AS n, "
                "(VALUES ('messages'), ('characters')) AS metrics (metric)"
            ),
            {"t": tenant_without_worker.id},
        )
    export_id = await export(tenant_without_worker)
    await processor.process(tenant_without_worker.id, UUID(export_id))
    archive = await download(tenant_without_worker, export_id)
    messages = archive.rows("messages")
    assert [row["id"] for row in messages] == [str(each) for each in ids]
    assert messages[-1]["content"] == f"Wie, «{ids[-1]}»?\n"
    usage = [(row["metric"], row["day"], row["amount"]) for row in archive.rows("usage") if row["metric"] != "projects"]
    assert len(usage) == 300
    assert usage == sorted(usage)
    assert sum(amount for _, _, amount in usage) == 149 * 150


@pytest.mark.usefixtures("worker")
async def test_an_archive_holds_nothing_of_another_tenant(make_tenant: TenantFactory) -> None:
    tenants = [await make_tenant() for _ in range(2)]
    for number, each in enumerate(tenants):
        project = await each.create_project()
        await each.upload(project, ("guide.txt", ORCHARD + b" Row %d." % number))
        await each.ask(project, "How many apple trees does the orchard keep?")
    ids = [await export(each, include_files=True) for each in tenants]
    for each, export_id in zip(tenants, ids, strict=True):
        await completed(each, export_id)
        archive = await download(each, export_id)
        for section in ("subscription", "projects", "files", "conversations", "messages", "usage"):
            assert {row["tenant_id"] for row in archive.rows(section)} == {str(each.id)}, section
        assert len(archive.rows("files")) == archive.manifest["uploads"]["files"] == 1


def without_request(answer: httpx2.Response) -> dict[str, object]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def test_anothers_export_is_the_same_404_as_none(
    tenant_without_worker: TenantClient, make_tenant: TenantFactory, processor: ExportProcessor
) -> None:
    export_id = await export(tenant_without_worker)
    await processor.process(tenant_without_worker.id, UUID(export_id))
    other = await make_tenant()
    for path in ("/tenants/exports/{}", "/tenants/exports/{}/download"):
        assert (await tenant_without_worker.get(path.format(export_id))).status_code == 200
        foreign, unknown = await other.get(path.format(export_id)), await other.get(path.format(new_id()))
        assert foreign.status_code == unknown.status_code == 404
        assert without_request(foreign) == without_request(unknown)
        assert unknown.json()["code"] == "export_not_found"


async def test_exports_take_a_token_of_a_tenant_that_exists(client: httpx2.AsyncClient, settings: Settings) -> None:
    for method, path in (
        ("POST", "/tenants/export"),
        ("GET", f"/tenants/exports/{new_id()}"),
        ("GET", f"/tenants/exports/{new_id()}/download"),
    ):
        assert (await client.request(method, path)).status_code == 401, path
    nobody = {"Authorization": f"Bearer {sign_token(new_id(), settings)}"}
    answer = await client.post("/tenants/export", headers=nobody)
    assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")


async def test_a_tenant_has_one_export_in_progress(
    tenant_without_worker: TenantClient, processor: ExportProcessor, database: Database
) -> None:
    first, *others = await asyncio.gather(*(export(tenant_without_worker) for _ in range(6)))
    assert set(others) == {first}
    again = (await tenant_without_worker.post("/tenants/export", params={"include_files": True})).json()
    assert (again["id"], again["status"], again["include_files"]) == (first, "queued", False)
    await processor.process(tenant_without_worker.id, UUID(first))
    assert await export(tenant_without_worker) != first
    (row,) = await rows_of(database, tenant_without_worker.id, "SELECT count(*) AS exports FROM exports")
    assert row["exports"] == 2


async def test_an_archive_is_fetched_when_it_is_there(tenant_without_worker: TenantClient) -> None:
    export_id = await export(tenant_without_worker)
    answer = await tenant_without_worker.get(f"/tenants/exports/{export_id}/download")
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "export_not_ready", "queued")


async def test_a_duplicate_request_is_shown_the_export_of_the_first(tenant_without_worker: TenantClient) -> None:
    key = {"Idempotency-Key": new_id().hex}
    first = (await tenant_without_worker.post("/tenants/export", headers=key)).json()
    duplicate = await tenant_without_worker.post("/tenants/export", headers=key)
    assert duplicate.status_code == 409
    path = duplicate.json()["resource"].removeprefix("/api/v1")
    assert (await tenant_without_worker.get(path)).json()["id"] == first["id"]


async def test_a_tenant_keeps_so_many_archives_and_no_more(
    tenant_without_worker: TenantClient, processor: ExportProcessor, database: Database
) -> None:
    for _ in range(MOST_KEPT):
        await processor.process(tenant_without_worker.id, UUID(await export(tenant_without_worker)))
    refused = await tenant_without_worker.post("/tenants/export")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_exports")
    await rows_of(
        database,
        tenant_without_worker.id,
        "UPDATE exports SET expires_at = now() WHERE id = (SELECT min(id::text)::uuid FROM exports)",
    )
    await export(tenant_without_worker)
