"""Tests that a bad upload gets a 4xx with a code, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory, client_for
from support.multipart_bodies import BOUNDARY, LAST_BOUNDARY, WatchedBody, field_part, file_part, send_body
from support.tenant_records import partial_uploads, rows_of, stored_objects

pytestmark = of_the_local_engine  # uploads are refused before any engine is called


class LimitedProject:
    """Holds a project with low limits, and checks what an upload left in it."""

    def __init__(self, tenant: TenantClient, project: str, settings: Settings, database: Database) -> None:
        self.tenant = tenant
        self.project = project
        self._settings = settings
        self._database = database

    async def refused(self, answer: httpx2.Response, status: int, code: str) -> None:
        """Check that the answer is this problem, and that no row and no byte of the upload is left."""
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert await rows_of(self._database, self.tenant.id, "SELECT 1 FROM files") == []
        assert stored_objects(self._settings, self.tenant.id) == []
        assert partial_uploads(self._settings) == []


@pytest.fixture
async def limited(
    make_tenant: TenantFactory, settings: Settings, state: AppState, database: Database, unreachable_jobs: JobQueue
) -> AsyncGenerator[LimitedProject]:
    tenant = await make_tenant()
    upload = settings.upload.model_copy(
        update={"max_file_bytes": 1000, "max_request_bytes": 5000, "max_files": 3, "max_queued_files": 3}
    )
    tight = settings.model_copy(update={"upload": upload})
    async with client_for(tight, {**state, "jobs": unreachable_jobs}) as client:
        tenant = TenantClient(tenant.id, client, tenant.headers)
        yield LimitedProject(tenant, await tenant.create_project(), tight, database)


async def test_no_files(limited: LimitedProject) -> None:
    await limited.refused(await send_body(limited.tenant, limited.project, WatchedBody(LAST_BOUNDARY)), 422, "no_files")
    path = f"/ingestion/projects/{limited.project}/upload_and_attach"
    await limited.refused(await limited.tenant.post(path, files={"picture": ("p.txt", b"x")}), 422, "no_files")


async def test_only_empty_files(limited: LimitedProject) -> None:
    answer = await limited.tenant.upload(limited.project, ("a.txt", b""))
    await limited.refused(answer, 422, "empty_file")
    answer = await limited.tenant.upload(limited.project, ("a.txt", b""), ("b.txt", b""))
    await limited.refused(answer, 422, "empty_file")
    assert answer.json()["filenames"] == ["a.txt", "b.txt"]


GUIDE = file_part("guide.txt", b"Some text.")


@pytest.mark.parametrize(
    ("sent", "place"),
    [
        (b"year=2024", None),
        (b"[" * 4000, None),
        (b"\xff", None),
        (b"[]", "attributes"),
        (b"null", "attributes"),
        (b'{"": 1}', "attributes."),
        (b'{"%s": 1}' % (b"k" * 65), "attributes.k"),
        (b'{"year": null}', "attributes.year"),
        (b'{"year": {"from": 1}}', "attributes.year"),
        (b'{"year": [1]}', "attributes.year"),
        (b'{"year": NaN}', "attributes.year"),
        (b'{"year": 1e999}', "attributes.year"),
        (b'{"year": 1%s}' % (b"0" * 400), "attributes.year"),
        (b'{"title": "%s"}' % (b"v" * 513), "attributes.title"),
        (b'{"title": "\\u0000"}', None),
        (b'{"\\ud800": 1}', None),
        (json.dumps({str(number): number for number in range(17)}).encode(), "attributes"),
    ],
)
async def test_wrong_attributes(limited: LimitedProject, sent: bytes, place: str | None) -> None:
    attributes = field_part("attributes", sent)
    for parts in ([attributes, GUIDE], [GUIDE, attributes]):
        answer = await send_body(limited.tenant, limited.project, WatchedBody(*parts, LAST_BOUNDARY))
        await limited.refused(answer, 422, "invalid_attributes")
        if place is None:
            assert "errors" not in answer.json()
        else:
            assert answer.json()["detail"].startswith(place)
            assert {error["loc"][0] for error in answer.json()["errors"]} == {"attributes"}
    assert (await limited.tenant.get("/limits/current")).json()["usage"]["chars_uploaded"] == 0


async def test_wrong_attributes_before_the_files_end_the_reading(limited: LimitedProject) -> None:
    body = WatchedBody(field_part("attributes", b"[]"), GUIDE, *[file_part("more.txt", b"x")] * 9, LAST_BOUNDARY)
    await limited.refused(await send_body(limited.tenant, limited.project, body), 422, "invalid_attributes")
    assert body.taken < 4


async def test_attributes_sent_twice(limited: LimitedProject) -> None:
    attributes = field_part("attributes", b"{}")
    for parts in ([attributes, attributes, GUIDE], [attributes, GUIDE, attributes]):
        answer = await send_body(limited.tenant, limited.project, WatchedBody(*parts, LAST_BOUNDARY))
        await limited.refused(answer, 422, "repeated_field")
        assert answer.json()["field"] == "attributes"


async def test_a_file_over_the_limit_is_cut_while_it_streams(limited: LimitedProject) -> None:
    pieces = [file_part("whole.txt", b"x" * 900), file_part("big.txt", b"")[:-2], *[b"x" * 400] * 9]
    body = WatchedBody(*pieces)
    answer = await send_body(limited.tenant, limited.project, body)
    await limited.refused(answer, 413, "file_too_large")
    assert (answer.json()["filename"], answer.json()["max_bytes"]) == ("big.txt", 1000)
    assert body.taken == 5


async def test_a_request_over_the_limit_is_cut_while_it_streams(limited: LimitedProject) -> None:
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\n'.encode()
    body = WatchedBody(file_part("whole.txt", b"x" * 900), field, *[b"x" * 1000] * 50)
    await limited.refused(await send_body(limited.tenant, limited.project, body), 413, "body_too_large")
    assert body.taken == 6


async def test_one_file_too_many(limited: LimitedProject) -> None:
    answer = await limited.tenant.upload(limited.project, *((f"{number}.txt", b"text") for number in range(4)))
    await limited.refused(answer, 422, "too_many_files")


async def test_a_body_cut_short(limited: LimitedProject) -> None:
    body = WatchedBody(file_part("whole.txt", b"text"), file_part("half.txt", b"text")[:-10])
    await limited.refused(await send_body(limited.tenant, limited.project, body), 400, "malformed_body")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=other", "multipart/mixed"],
)
async def test_a_wrong_content_type_or_boundary(limited: LimitedProject, content_type: str) -> None:
    answer = await send_body(limited.tenant, limited.project, WatchedBody(), headers={"Content-Type": content_type})
    await limited.refused(answer, 400, "malformed_body")


@pytest.mark.parametrize("filename", ["x" * 300, "", "..", "tab\tbell\x07.txt", "nul\x00.txt"])
async def test_a_filename_that_cannot_be_kept(limited: LimitedProject, filename: str) -> None:
    body = WatchedBody(file_part("whole.txt", b"text"), file_part(filename, b"text"), LAST_BOUNDARY)
    await limited.refused(await send_body(limited.tenant, limited.project, body), 422, "invalid_filename")


@pytest.mark.parametrize("wait_seconds", ["-1", "61", "soon", "1.5", "9" * 400])
async def test_a_wait_out_of_range_is_refused_unread(limited: LimitedProject, wait_seconds: str) -> None:
    body = WatchedBody()
    answer = await send_body(limited.tenant, limited.project, body, wait_seconds=wait_seconds)
    await limited.refused(answer, 422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["query", "wait_seconds"]
    assert body.taken == 0


async def test_an_unknown_project_is_refused_unread(limited: LimitedProject, make_tenant: TenantFactory) -> None:
    foreign = await (await make_tenant()).create_project()
    for project in (str(new_id()), foreign):
        body = WatchedBody()
        await limited.refused(await send_body(limited.tenant, project, body), 404, "project_not_found")
        assert body.taken == 0
    await limited.refused(await send_body(limited.tenant, "docs", WatchedBody()), 422, "validation_error")


@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Basic YTpi"])
async def test_a_bad_token_is_refused_unread(limited: LimitedProject, token: str) -> None:
    body = WatchedBody()
    answer = await send_body(limited.tenant, limited.project, body, headers={"Authorization": token})
    assert answer.status_code == 401
    await limited.refused(answer, 401, answer.json()["code"])
    assert body.taken == 0


async def test_another_tenants_id_is_refused_unread(limited: LimitedProject) -> None:
    body = WatchedBody()
    answer = await send_body(limited.tenant, limited.project, body, tenant_id=str(new_id()))
    await limited.refused(answer, 403, "tenant_mismatch")
    assert body.taken == 0


async def test_too_many_files_in_progress_are_refused_unread(limited: LimitedProject) -> None:
    files = (("a.txt", b"one"), ("b.txt", b"two"), ("c.txt", b"three"))
    await limited.tenant.upload(limited.project, *files, wait_seconds=0)
    body = WatchedBody()
    answer = await send_body(limited.tenant, limited.project, body)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_files_in_progress")
    assert int(answer.headers["retry-after"]) > 0
    assert body.taken == 0


async def test_a_full_storage_is_refused_unread(
    tenant: TenantClient, settings: Settings, state: AppState, unreachable_jobs: JobQueue
) -> None:
    upload = settings.upload.model_copy(update={"max_stored_bytes": 10})
    tight = settings.model_copy(update={"upload": upload})
    async with client_for(tight, {**state, "jobs": unreachable_jobs}) as client:
        tenant = TenantClient(tenant.id, client, tenant.headers)
        project = await tenant.create_project()
        await tenant.upload(project, ("a.txt", b"0123456789"), wait_seconds=0)
        body = WatchedBody()
        answer = await send_body(tenant, project, body)
    assert (answer.status_code, answer.json()["code"]) == (402, "storage_quota_exceeded")
    assert (answer.json()["cap"], answer.json()["used"], body.taken) == (10, 10, 0)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../../etc/passwd.txt", "passwd.txt"),
        ("C:\\temp\\notes.txt", "notes.txt"),
        ("概要 🚀.txt", "概要 🚀.txt"),
        ("'; DROP TABLE files; --.txt", "'; DROP TABLE files; --.txt"),
    ],
)
async def test_a_hostile_filename_is_only_ever_shown(
    tenant: TenantClient, settings: Settings, sent: str, kept: str
) -> None:
    project = await tenant.create_project()
    body = WatchedBody(file_part(sent, b"The content is harmless."), LAST_BOUNDARY)
    (file,) = (await send_body(tenant, project, body)).json()["files"]
    assert (file["filename"], file["status"]) == (kept, "completed")
    assert stored_objects(settings, tenant.id) == [b"The content is harmless."]
