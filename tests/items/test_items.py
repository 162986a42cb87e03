from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
from redis import Redis


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


async def test_the_cached_copy_is_dropped_by_a_change(client: httpx2.AsyncClient) -> None:
    item = await create(client)
    assert (await client.get(f"/items/cached/{item['id']}")).json() == item
    await client.put(f"/items/{item['id']}", json={"name": "Diary"})
    assert (await client.get(f"/items/cached/{item['id']}")).json()["name"] == "Diary"
    await client.delete(f"/items/{item['id']}")
    assert (await client.get(f"/items/cached/{item['id']}")).status_code == 404


async def test_the_cached_route_reads_the_cache(client: httpx2.AsyncClient, redis: Redis) -> None:
    item = await create(client)
    assert not redis.exists(f"item:{item['id']}")
    await client.get(f"/items/cached/{item['id']}")
    copy = redis.get(f"item:{item['id']}")
    assert isinstance(copy, bytes)
    redis.set(f"item:{item['id']}", copy.replace(b"Notebook", b"From the cache"))
    assert (await client.get(f"/items/cached/{item['id']}")).json()["name"] == "From the cache"


async def test_clearing_counts_the_copies_it_dropped(client: httpx2.AsyncClient) -> None:
    await client.get("/items/cache/clear")
    for _ in range(3):
        await client.get(f"/items/cached/{(await create(client))['id']}")
    assert (await client.get("/items/cache/clear")).json() == {
        "message": "Successfully cleared 3 cached items",
        "deleted_count": 3,
    }


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
