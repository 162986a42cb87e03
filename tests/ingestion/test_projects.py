"""Tests that projects are listed, read, renamed and given metadata."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory

pytestmark = of_the_local_engine  # no engine takes part


async def change(tenant: TenantClient, project: str, **fields: object) -> tuple[int, dict[str, Any]]:
    answer = await tenant.patch(f"/ingestion/projects/{project}", json=fields)
    return answer.status_code, answer.json()


async def test_projects_are_listed_in_pages_and_found_by_a_part_of_their_name(tenant: TenantClient) -> None:
    ids = [await tenant.create_project(name) for name in ("Handbook", "100% sure", "Handbook archive")]
    first = (await tenant.get("/ingestion/projects", params={"limit": 2})).json()
    assert ([project["id"] for project in first["projects"]], first["has_more"]) == (ids[:2], True)
    rest = (await tenant.get("/ingestion/projects", params={"after": first["next_after"]})).json()
    assert ([project["id"] for project in rest["projects"]], rest["has_more"], rest["next_after"]) == (
        ids[2:],
        False,
        None,
    )
    for part, found in (("hAND", [ids[0], ids[2]]), ("%", [ids[1]]), ("nothing", [])):
        page = (await tenant.get("/ingestion/projects", params={"name": part})).json()
        assert [project["id"] for project in page["projects"]] == found


@pytest.mark.usefixtures("worker")
async def test_one_project_says_how_much_it_holds(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    empty = (await tenant.get(f"/ingestion/projects/{project}")).json()
    assert empty["files"] == {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
    assert (empty["engine"], empty["vector_store_id"], empty["metadata"]) == (None, None, {})
    await tenant.upload(project, ("a.txt", b"Pears grow here."), ("b.txt", b""))
    full = (await tenant.get(f"/ingestion/projects/{project}")).json()
    assert full["files"] == {"in_progress": 0, "completed": 1, "failed": 1, "cancelled": 0, "total": 2}
    assert (full["characters"], full["stored_bytes"], full["engine"]) == (16, 16, "local")
    assert full["vector_store_id"].startswith("vs_")


async def test_name_and_metadata_change_one_without_the_other(tenant: TenantClient) -> None:
    project = await tenant.create_project("Docs")
    status, renamed = await change(tenant, project, name="  Handbook ")
    assert (status, renamed["name"], renamed["metadata"]) == (200, "Handbook", {})
    metadata = {"team": "support", "rank": 3, "share": 0.5, "public": True}
    assert (await change(tenant, project, metadata=metadata))[1]["metadata"] == metadata
    read = (await tenant.get(f"/ingestion/projects/{project}")).json()
    assert (read["name"], read["metadata"]) == ("Handbook", metadata)
    assert read["updated_at"] > read["created_at"]
    assert (await change(tenant, project, metadata=None))[1]["metadata"] == {}
    assert (await change(tenant, project))[1]["name"] == "Handbook"


async def test_a_name_belongs_to_one_project(tenant: TenantClient, make_tenant: TenantFactory) -> None:
    one, other = await tenant.create_project("One"), await tenant.create_project("Other")
    status, body = await change(tenant, other, name="One", metadata={"a": "b"})
    assert (status, body["code"]) == (409, "project_name_taken")
    assert (await tenant.get(f"/ingestion/projects/{other}")).json()["metadata"] == {}
    assert (await change(tenant, one, name="One"))[0] == 200
    stranger = await make_tenant()
    assert (await change(stranger, await stranger.create_project("Mine"), name="One"))[0] == 200
    assert (await change(stranger, one, name="Stolen"))[1]["code"] == "project_not_found"
    racing = await asyncio.gather(*(change(tenant, project, name="Both") for project in (one, other)))
    assert sorted(status for status, _ in racing) == [200, 409]


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"metadata": {f"key {number}": "" for number in range(17)}},
        {"metadata": {"x" * 65: ""}},
        {"metadata": {"": "no key"}},
        {"metadata": {"key": "x" * 513}},
        {"metadata": {"key": {"nested": "object"}}},
        {"metadata": {"key": None}},
        {"metadata": ["list"]},
        {"engine": "openai"},
    ],
)
async def test_bad_changes_are_refused(tenant: TenantClient, body: dict[str, Any]) -> None:
    project = await tenant.create_project()
    status, problem = await change(tenant, project, **body)
    assert (status, problem["code"]) == (422, "validation_error")
