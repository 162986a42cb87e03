"""The items through the cache, on every backend, with the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from redis import Redis
from sqlalchemy import text

from fastapi_ignite.core.sections import CacheSettings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.cache import Cache, RedisBackend, open_cache, use_cache
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.flaky_redis import refused_url
from support.watched_statements import watching_statements

MIB = 2**20
CROWD = 500


@pytest.fixture(params=["redis", "file", "memory"])
async def cache(request: pytest.FixtureRequest, addresses: ServiceAddresses, tmp_path: Path) -> AsyncGenerator[Cache]:
    """Open the cache with each backend in turn; its timeout is long, because a busy machine is not an outage."""
    settings = CacheSettings(
        backend_type=request.param,
        namespace=uuid4().hex,
        timeout_seconds=5,
        file_path=tmp_path / "cache",
        file_max_bytes=MIB,
        memory_max_bytes=MIB,
    )
    async with open_cache(settings, redis_url=addresses.redis_url) as opened:
        yield opened


class Queries:
    """A record of the statements that read items, which can delay an answer."""

    def __init__(self) -> None:
        self.count = 0
        self.held: asyncio.Event | None = None
        self.answered = asyncio.Event()

    async def note(self, statement: str) -> None:
        if "FROM items" not in statement or not statement.lstrip().startswith("SELECT"):
            return
        self.count += 1
        if self.held is not None:
            self.answered.set()
            held, self.held = self.held, None
            await held.wait()

    def hold(self) -> asyncio.Event:
        """Delay the next answer until the returned event is set."""
        self.held = asyncio.Event()
        return self.held


@contextmanager
def watching(state: AppState) -> Generator[Queries]:
    queries = Queries()
    with watching_statements(state["database"], queries.note):
        yield queries


@pytest.fixture
def queries(state: AppState) -> Generator[Queries]:
    with watching(state) as seen:
        yield seen


async def create(client: httpx2.AsyncClient, **fields: object) -> dict[str, Any]:
    body = {"name": f"Notebook {uuid4().hex}", "description": "Plain pages", **fields}
    answer = await client.post("/items/", json=body)
    assert answer.status_code == 201, answer.text
    item: dict[str, Any] = answer.json()
    return item


def paths(item: dict[str, Any]) -> list[str]:
    """Return every path that reads this item."""
    return [
        f"/items/{item['id']}",
        f"/items/cached/{item['id']}",
        f"/items/search/?q={item['name'].split()[-1]}",
    ]


async def test_a_second_read_asks_no_database(client: httpx2.AsyncClient, cache: Cache, queries: Queries) -> None:
    del cache
    item = await create(client)
    for path in [*paths(item), "/items/?limit=1"]:
        queries.count = 0
        first = await client.get(path)
        assert queries.count == 1
        second = await client.get(path)
        assert queries.count == 1, path
        assert first.content == second.content


async def test_answers_say_where_they_come_from_and_can_be_asked_for_again(
    client: httpx2.AsyncClient, cache: Cache
) -> None:
    del cache
    item = await create(client)
    for path in [*paths(item), "/items/?limit=1"]:
        if "/cached/" in path:
            continue
        first, second = await client.get(path), await client.get(path)
        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
        assert second.headers["cache-control"] == "public, max-age=0, must-revalidate"
        assert int(second.headers["age"]) >= 0
        again = await client.get(path, headers={"If-None-Match": second.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_every_change_is_seen_at_once(client: httpx2.AsyncClient, cache: Cache) -> None:
    del cache
    item = await create(client)
    everywhere = paths(item)
    for path in everywhere:
        await client.get(path)
    await client.put(f"/items/{item['id']}", json={"description": "Lined pages"})
    for path in everywhere:
        assert '"Lined pages"' in (await client.get(path)).text, path
    await client.delete(f"/items/{item['id']}")
    assert [(await client.get(path)).status_code for path in everywhere] == [404, 404, 200]
    assert (await client.get(everywhere[2])).json() == []


async def test_a_new_item_is_in_the_lists_at_once(client: httpx2.AsyncClient, cache: Cache) -> None:
    del cache
    mark = uuid4().hex
    assert (await client.get(f"/items/search/?q={mark}")).json() == []
    item = await create(client, name=mark)
    assert (await client.get(f"/items/search/?q={mark}")).json() == [item]


async def test_a_change_of_one_item_leaves_the_others_cached(
    client: httpx2.AsyncClient, cache: Cache, queries: Queries
) -> None:
    del cache
    one, other = await create(client), await create(client)
    for item in (one, other):
        await client.get(f"/items/cached/{item['id']}")
    await client.put(f"/items/{one['id']}", json={"name": "Diary"})
    queries.count = 0
    await client.get(f"/items/cached/{other['id']}")
    assert queries.count == 0


@pytest.mark.parametrize("way", [0, 1, 2])
async def test_a_slow_reader_cannot_bring_an_old_item_back(
    client: httpx2.AsyncClient, cache: Cache, queries: Queries, way: int
) -> None:
    """The reader reads the old row; the writer commits and invalidates; then the reader stores its answer."""
    del cache
    item = await create(client)
    path = paths(item)[way]
    go_on = queries.hold()
    slow = asyncio.create_task(client.get(path))
    await queries.answered.wait()
    changed = await client.put(f"/items/{item['id']}", json={"description": "Lined pages"})
    assert changed.json()["description"] == "Lined pages"
    go_on.set()
    assert '"Plain pages"' in (await slow).text, "it began before the write"
    for _ in range(2):
        assert '"Lined pages"' in (await client.get(path)).text


async def test_an_unknown_item_is_remembered_for_a_moment(
    client: httpx2.AsyncClient, cache: Cache, queries: Queries
) -> None:
    del cache
    item_id = uuid4()
    for path in (f"/items/{item_id}", f"/items/cached/{item_id}"):
        queries.count = 0
        answers = [await client.get(path) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert queries.count == 1
        assert len({answer.json()["request_id"] for answer in answers}) == 3


async def test_clearing_counts_the_copies_and_drops_them(
    client: httpx2.AsyncClient, cache: Cache, database: Database
) -> None:
    del cache
    assert (await client.get("/items/cache/clear")).json()["deleted_count"] == 0
    items = [await create(client) for _ in range(3)]
    for item in items:
        await client.get(f"/items/cached/{item['id']}")
    async with database.tenant(None) as session:
        await session.execute(
            text("UPDATE items SET name = 'Changed by hand' WHERE id = ANY(:ids)"),
            {"ids": [item["id"] for item in items]},
        )
    assert (await client.get("/items/cache/clear")).json() == {
        "message": "Successfully cleared 3 cached items",
        "deleted_count": 3,
    }
    for item in items:
        assert (await client.get(f"/items/cached/{item['id']}")).json()["name"] == "Changed by hand"


async def test_keys_of_the_catalogue_begin_with_item_as_documented(client: httpx2.AsyncClient, redis: Redis) -> None:
    """The default settings have no namespace, and use the stack's Redis."""
    item = await create(client)
    before = set(redis.scan_iter(match="item:*", count=1000))
    for path in paths(item):
        await client.get(path)
    after = set(redis.scan_iter(match="item:*", count=1000))
    assert len(after - before) == 3
    assert any(key.endswith(item["id"].encode()) for key in after)
    await client.get("/items/cache/clear")
    assert set(redis.scan_iter(match="item:*", count=1000)) == set()


@pytest.mark.parametrize("cache", ["redis"], indirect=True)
async def test_five_hundred_callers_ask_the_database_once(
    client: httpx2.AsyncClient, cache: Cache, queries: Queries
) -> None:
    del cache
    item = await create(client)
    for path in (f"/items/cached/{item['id']}", f"/items/{item['id']}"):
        queries.count = 0
        answers = await asyncio.gather(*(client.get(path) for _ in range(CROWD)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.content for answer in answers} == {answers[0].content}
        assert queries.count == 1


async def test_without_redis_everything_works_only_slower(client: httpx2.AsyncClient, state: AppState) -> None:
    away = Cache(RedisBackend(refused_url(), timeout=5))
    with watching(state) as queries, use_cache(away):
        item = await create(client)
        for path in [*paths(item), "/items/?limit=1"]:
            queries.count = 0
            for _ in range(3):
                assert (await client.get(path)).status_code == 200
            assert queries.count == 3, "once a request"
        changed = await client.put(f"/items/{item['id']}", json={"name": "Diary"})
        assert changed.json()["name"] == "Diary"
        assert (await client.get(f"/items/{item['id']}")).headers["x-cache"] == "bypass"
        assert (await client.get("/items/cache/clear")).json()["deleted_count"] == 0
        assert (await client.delete(f"/items/{item['id']}")).status_code == 204
    await away.close()
