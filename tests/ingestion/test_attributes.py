"""Tests of the attributes that callers give to files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastapi_ignite.infra.db import Database
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory
from support.multipart_bodies import LAST_BOUNDARY, WatchedBody, field_part, file_part, send_body
from support.tenant_records import rows_of

pytestmark = of_the_local_engine  # no engine takes part in them

TEXT = b"The orchard keeps nine apple trees."
ATTRIBUTES: dict[str, Any] = {"department": "support", "year": 2024, "weight": 0.5, "public": True, "k" * 64: "v" * 512}
TRAIN = "\N{STEAM LOCOMOTIVE}"
LARGEST: dict[str, Any] = {f"{number:02}{TRAIN * 62}": TRAIN * 512 for number in range(16)}


async def uploaded(tenant: TenantClient, project: str, **options: Any) -> dict[str, Any]:
    answer = await tenant.upload(project, ("guide.txt", TEXT), wait_seconds=0, **options)
    assert answer.status_code == 200, answer.text
    (file,) = answer.json()["files"]
    return {**file, "path": f"/ingestion/projects/{project}/files/{file['id']}"}


@pytest.mark.parametrize("attributes", [ATTRIBUTES, LARGEST, {}, {"wide": 2**53 + 1}, {"tiny": -1e-300}], ids=len)
async def test_an_upload_gives_attributes_to_all_its_files(
    tenant_without_worker: TenantClient, attributes: dict[str, Any]
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    field = field_part("attributes", json.dumps(attributes).encode())
    files = [file_part("a", TEXT), file_part("b", b"")]
    for parts in ([field, *files], [*files, field], [files[0], field, files[1]]):
        answer = await send_body(tenant, project, WatchedBody(*parts, LAST_BOUNDARY), wait_seconds=0)
        assert [file["attributes"] for file in answer.json()["files"]] == [attributes, attributes]
    read = await tenant.get(f"/ingestion/projects/{project}/files/{answer.json()['files'][0]['id']}")
    listed = await tenant.get(f"/ingestion/projects/{project}/files")
    batch = await tenant.get(f"/ingestion/projects/{project}/batches/{answer.json()['batch_id']}")
    shown = [read.json(), *listed.json()["files"], *batch.json()["files"]]
    assert all(file["attributes"] == attributes for file in shown)


async def test_without_the_field_a_file_has_none(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    assert (await uploaded(tenant, project))["attributes"] == {}
    for field in (field_part("note", b"not JSON"), field_part("attributes", b" ")):
        body = WatchedBody(field, file_part("a", TEXT), LAST_BOUNDARY)
        answer = await send_body(tenant, project, body, wait_seconds=0)
        assert answer.json()["files"][0]["attributes"] == {}


async def test_attributes_are_part_of_what_a_key_stands_for(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    headers = {"Idempotency-Key": "one", "Prefer": "idempotency=replay"}
    first = await tenant.upload(project, ("a.txt", TEXT), wait_seconds=0, attributes={"a": 1, "b": 2}, headers=headers)
    again = await tenant.upload(project, ("a.txt", TEXT), wait_seconds=0, attributes={"b": 2, "a": 1}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    for attributes in ({"a": 1, "b": 3}, {"a": True, "b": 2}, {}, None):
        other = await tenant.upload(project, ("a.txt", TEXT), wait_seconds=0, attributes=attributes, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]) == 1


async def test_a_change_replaces_all(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    file = await uploaded(tenant, await tenant.create_project(), attributes=ATTRIBUTES)
    for attributes, stored in (
        ({"year": 2025}, {"year": 2025}),
        ({"year": True}, {"year": True}),  # equal to 1 in Python
        ({"year": 1}, {"year": 1}),
        (LARGEST, LARGEST),
        (None, {}),
    ):
        answer = await tenant.patch(file["path"], json={"attributes": attributes})
        assert answer.status_code == 200, answer.text
        assert json.dumps(answer.json()["attributes"]) == json.dumps(stored)
        assert (await tenant.get(file["path"])).json() == answer.json()
    unchanged = (await tenant.patch(file["path"], json={})).json()
    assert unchanged == answer.json()
    same = ("id", "filename", "stage", "sha256", "created_at", "attempts")
    assert [unchanged[name] for name in same] == [file[name] for name in same]


async def test_a_change_is_recorded_once(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    file = await uploaded(tenant, project)
    for _ in range(2):
        await tenant.patch(file["path"], json={"attributes": {"year": 2025}})
    (event,) = (await tenant.get("/audit", params={"action": "file.updated"})).json()["events"]
    assert event["target"] == file["id"]
    assert event["details"] == {"project_id": project, "filename": "guide.txt", "changed": ["attributes"]}


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": []},
        {"attributes": {"": 1}},
        {"attributes": {"k" * 65: 1}},
        {"attributes": {"title": "v" * 513}},
        {"attributes": {"title": None}},
        {"attributes": {"title": ["a"]}},
        {"attributes": {str(number): number for number in range(17)}},
        {"filename": "other.txt"},
    ],
)
async def test_a_wrong_change_changes_nothing(tenant_without_worker: TenantClient, change: dict[str, Any]) -> None:
    tenant = tenant_without_worker
    file = await uploaded(tenant, await tenant.create_project(), attributes=ATTRIBUTES)
    answer = await tenant.patch(file["path"], json=change)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert (await tenant.get(file["path"])).json()["attributes"] == ATTRIBUTES


async def test_only_files_of_the_project_are_changed(
    tenant_without_worker: TenantClient, make_tenant: TenantFactory, database: Database
) -> None:
    tenant = tenant_without_worker
    project, other = await tenant.create_project(), await tenant.create_project("Other")
    file = await uploaded(tenant, project, attributes={"year": 1})
    stranger = await make_tenant()
    for answer in (
        await tenant.patch(file["path"].replace(project, other), json={"attributes": {"year": 2}}),
        await stranger.patch(file["path"], json={"attributes": {"year": 2}}),
    ):
        assert answer.status_code == 404, answer.text
    removal = f"/ingestion/projects/{project}/remove_file"
    assert (await tenant.delete(removal, params={"openai_file_id": file["id"]})).status_code == 200
    assert (await tenant.patch(file["path"], json={"attributes": {"year": 2}})).json()["code"] == "file_not_found"
    assert [row["attributes"] for row in await rows_of(database, tenant.id, "SELECT attributes FROM files")] == [
        {"year": 1}
    ]
