from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest

from fastapi_ignite.infra.db import Database
from fastapi_ignite.items.models import Item


async def create(client: httpx2.AsyncClient, **fields: object) -> dict[str, str]:
    body = {"name": "Notebook", "description": "Plain pages", "is_active": True, **fields}
    answer = await client.post("/items/", json=body)
    assert answer.status_code == 201, answer.text
    item: dict[str, str] = answer.json()
    return item


async def test_an_item_comes_back_as_it_was_stored(client: httpx2.AsyncClient) -> None:
    item = await create(client)
    assert set(item) == {"id", "name", "description", "is_active", "created_at", "updated_at"}
    assert item["created_at"].endswith(("Z", "+00:00"))
    read = await client.get(f"/items/{item['id']}")
    assert read.json() == item


async def test_items_of_one_moment_are_ordered_by_id(client: httpx2.AsyncClient, database: Database) -> None:
    mark = uuid4().hex
    ids = sorted([uuid4() for _ in range(6)], key=str)
    async with database.tenant(None) as session:
        for item_id in reversed(ids):
            session.add(Item(id=item_id, name=f"{mark} tie", is_active=True))
    found = (await client.get("/items/search/", params={"q": mark})).json()
    assert len({item["created_at"] for item in found}) == 1
    assert [item["id"] for item in found] == [str(item_id) for item_id in ids]
    pages = [
        item["id"]
        for skip in range(0, 6, 2)
        for item in (await client.get("/items/search/", params={"q": mark, "skip": skip, "limit": 2})).json()
    ]
    assert pages == [str(item_id) for item_id in ids]


async def test_an_unknown_item_is_a_problem(client: httpx2.AsyncClient) -> None:
    for method, path in (("GET", ""), ("GET", "cached/"), ("PUT", ""), ("DELETE", "")):
        answer = await client.request(method, f"/items/{path}{uuid4()}", json={} if method == "PUT" else None)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "item_not_found"


async def test_an_update_leaves_null_and_absent_fields_alone(client: httpx2.AsyncClient) -> None:
    item = await create(client)
    changed = (await client.put(f"/items/{item['id']}", json={"description": "Lined pages", "name": None})).json()
    assert changed["description"] == "Lined pages"
    assert changed["name"] == "Notebook"
    assert changed["updated_at"] > item["updated_at"]


async def test_a_deleted_item_is_gone(client: httpx2.AsyncClient) -> None:
    item = await create(client)
    answer = await client.delete(f"/items/{item['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(f"/items/{item['id']}")).status_code == 404


async def test_lists_are_bounded_ordered_and_filtered(client: httpx2.AsyncClient) -> None:
    mark = uuid4().hex
    made = [await create(client, name=f"{mark} {number}", is_active=number % 2 == 0) for number in range(4)]
    found = (await client.get("/items/search/", params={"q": mark.upper()})).json()
    assert [item["id"] for item in found] == [item["id"] for item in made]
    page = (await client.get("/items/search/", params={"q": mark, "skip": 1, "limit": 2})).json()
    assert [item["id"] for item in page] == [item["id"] for item in made[1:3]]
    active = (await client.get("/items/", params={"active_only": "true", "limit": 100})).json()
    assert all(item["is_active"] for item in active)


@pytest.mark.parametrize("literal", ["100%", "a_b", "back\\slash"])
async def test_wildcards_in_a_search_are_plain_characters(client: httpx2.AsyncClient, literal: str) -> None:
    mark = uuid4().hex
    item = await create(client, name=f"{mark} {literal}")
    await create(client, name=f"{mark} 100 aXb backslash")
    found = (await client.get("/items/search/", params={"q": f"{mark} {literal}"})).json()
    assert [entry["id"] for entry in found] == [item["id"]]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": "   "}, "body.name"),
        ({"name": "x" * 201}, "body.name"),
        ({"name": "nul\x00"}, "body.name"),
        ({"name": "ok", "description": "x" * 2001}, "body.description"),
        ({}, "body.name"),
    ],
)
async def test_bad_items_are_refused(client: httpx2.AsyncClient, body: dict[str, str], where: str) -> None:
    answer = await client.post("/items/", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "validation_error"
    assert problem["detail"].startswith(where)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "skip=-1", "skip=10001", "limit=many"])
async def test_pages_outside_the_bounds_are_refused_not_clamped(client: httpx2.AsyncClient, query: str) -> None:
    for path in ("/items/?", "/items/search/?q=a&"):
        assert (await client.get(path + query)).status_code == 422
