"""Tests of the list of a project's files."""

from __future__ import annotations

import pytest

from fastapi_ignite.core.ids import new_id
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory

pytestmark = of_the_local_engine  # no engine has processed these files


async def test_pages_hold_every_file_once_and_in_order(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    names = [f"{number}.txt" for number in range(7)]
    for batch in (names[:4], names[4:]):
        await tenant.upload(project, *((name, name.encode()) for name in batch), wait_seconds=0)
    other = await tenant.create_project("Other")
    await tenant.upload(other, ("other.txt", b"other"), wait_seconds=0)
    path = f"/ingestion/projects/{project}/files"
    pages, after = [], None
    while True:
        page = (await tenant.get(path, params={"limit": 3, **({"after": after} if after else {})})).json()
        pages.append([file["filename"] for file in page["files"]])
        after = page["next_after"]
        assert page["has_more"] == (after is not None)
        if not page["has_more"]:
            break
    assert pages == [names[:3], names[3:6], names[6:]]


async def test_a_page_that_ends_with_the_list_has_no_next_one(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    await tenant.upload(project, ("a.txt", b"a"), ("b.txt", b"b"), wait_seconds=0)
    page = (await tenant.get(f"/ingestion/projects/{project}/files", params={"limit": 2})).json()
    assert (len(page["files"]), page["has_more"], page["next_after"]) == (2, False, None)
    last = page["files"][-1]["id"]
    page = (await tenant.get(f"/ingestion/projects/{project}/files", params={"after": last})).json()
    assert (page["files"], page["has_more"]) == ([], False)


async def test_an_empty_project_is_an_empty_list(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    assert (await tenant.get(f"/ingestion/projects/{project}/files")).json() == {
        "project_id": project,
        "vector_store_id": None,
        "embedded": 1.0,
        "files": [],
        "has_more": False,
        "next_after": None,
    }


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=all", "after=x", "after=%00"])
async def test_bounds_are_refused_not_clamped(tenant: TenantClient, query: str) -> None:
    project = await tenant.create_project()
    answer = await tenant.get(f"/ingestion/projects/{project}/files?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_an_unknown_and_a_foreign_project_are_the_same(tenant: TenantClient, make_tenant: TenantFactory) -> None:
    foreign = await (await make_tenant()).create_project()
    answers = [
        answer.json()
        for project in (foreign, str(new_id()))
        for answer in (
            await tenant.get(f"/ingestion/projects/{project}/files"),
            await tenant.post(f"/ingestion/projects/{project}/ensure_vector_store"),
            await tenant.delete(f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": str(new_id())}),
        )
    ]
    for answer in answers:
        del answer["request_id"]
    assert answers == [answers[0]] * 6
    assert (answers[0]["status"], answers[0]["code"]) == (404, "project_not_found")
