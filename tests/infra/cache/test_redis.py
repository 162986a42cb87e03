"""Tests of what only the Redis backend must handle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from redis import Redis

from fastapi_ignite.infra.cache import Cache, RedisBackend, cached, use_cache
from fastapi_ignite.infra.cache.entries import MAX_TTL_SECONDS
from fastapi_ignite.infra.services import ServiceAddresses


@pytest.fixture
def namespace() -> str:
    return uuid4().hex


@pytest.fixture
async def backend(addresses: ServiceAddresses, namespace: str) -> AsyncGenerator[RedisBackend]:
    made = RedisBackend(addresses.redis_url, namespace=namespace, timeout=30)
    yield made
    await made.close()


def names(redis: Redis, pattern: str) -> set[bytes]:
    return set(redis.scan_iter(match=pattern, count=1000))


async def test_namespaces_see_nothing_of_each_other(addresses: ServiceAddresses, backend: RedisBackend) -> None:
    other = RedisBackend(addresses.redis_url, namespace=uuid4().hex, timeout=30)
    generations = await backend.generations(["t"])
    assert await backend.write("item:1", b"1", 60, ["t"], generations)
    assert (await other.read("item:1", ["t"])).data is None
    await other.invalidate(["t"])
    assert await backend.generations(["t"]) == generations
    assert [page async for page in other.scan("item:") if page] == []
    assert await other.delete(["item:1"]) == 0
    assert (await other.acquire("lock", "me", 60, "key", []))[0]
    assert (await backend.acquire("lock", "me", 60, "key", []))[0]
    await other.close()


async def test_nothing_stays_in_redis_for_ever(redis: Redis, backend: RedisBackend, namespace: str) -> None:
    @cached(key="note", ttl=60, tags=["notes"], shared=True)
    async def read() -> UUID:
        assert len(names(redis, f"{namespace}:~lock:*")) == 1, "it is loaded under a lock"
        assert all(redis.pttl(name) > 0 for name in names(redis, f"{namespace}:*"))
        return uuid4()

    cache = Cache(backend, timeout=30)
    with use_cache(cache):
        await read()
    [entry] = names(redis, f"{namespace}:note:*")
    assert 0 < redis.pttl(entry) <= 60_000
    tags = names(redis, f"{namespace}:~tag:*")
    assert len(tags) == 2
    assert all(redis.pttl(name) > MAX_TTL_SECONDS * 1000 for name in tags), "a generation outlives its entries"
    await cache.invalidate("-:notes", "~all")
    assert names(redis, f"{namespace}:~*") == set(), "no lock and no tag is left behind"


async def test_losing_a_generation_costs_a_reload_and_shows_nothing_old(
    redis: Redis, backend: RedisBackend, namespace: str
) -> None:
    """Redis may evict a generation when its memory is full."""
    generations = await backend.generations(["t"])
    await backend.write("note", b"1", 60, ["t"], generations)
    redis.delete(f"{namespace}:~tag:t")
    assert not await backend.write("note", b"2", 60, ["t"], generations)
    assert (await backend.read("note", ["t"])).generations != generations


async def test_processes_agree_on_new_generations(addresses: ServiceAddresses, namespace: str) -> None:
    backends = [RedisBackend(addresses.redis_url, namespace=namespace, timeout=30) for _ in range(8)]
    assert len(set(await asyncio.gather(*(backend.generations(["new"]) for backend in backends)))) == 1
    for backend in backends:
        await backend.close()


async def test_a_reader_is_not_shown_what_was_read_before_it_asked(backend: RedisBackend) -> None:
    await backend.write("note", b"old", 60, (), ())
    for number in range(30):
        early = [asyncio.create_task(backend.read("note", ())) for _ in range(3)]
        await asyncio.sleep(0)
        await backend.write("note", f"{number}".encode(), 60, (), ())
        assert (await backend.read("note", ())).data == f"{number}".encode()
        await asyncio.gather(*early)
