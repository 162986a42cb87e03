"""Tests of cache entries that are renewed, damaged or cleared, on every backend."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel

from fastapi_ignite.infra.cache import Cache, CacheBackend, cached, get_cache, tag
from fastapi_ignite.infra.cache.entries import Entry

NAME = "entry.test"
TTL = 100


class Versioned(BaseModel):
    number: int


class Source:
    """Has a cached function, counts its runs, and lets a test choose what the function does next."""

    def __init__(self) -> None:
        self.runs = 0
        self.seconds = 0.0
        self.error: Exception | None = None
        self.key = f"{NAME}.{uuid4().hex}"
        self.read = cached(key=self.key, ttl=TTL, tags=["sources"], shared=True)(self._load)

    async def _load(self) -> Versioned:
        self.runs += 1
        number = self.runs
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return Versioned(number=number)


@pytest.fixture
def source(cache: Cache) -> Source:
    del cache
    return Source()


async def stored(backend: CacheBackend, source: Source) -> tuple[str, bytes]:
    found = [entry async for page in backend.scan(source.key) for entry in page]
    assert len(found) == 1
    return found[0]


async def plant(backend: CacheBackend, key: str, data: bytes) -> None:
    tags = ("-:sources", "~all")
    assert await backend.write(key, data, TTL, tags, await backend.generations(tags))


def corrupt_count(source: Source) -> float:
    return REGISTRY.get_sample_value("ignite_cache_corrupt_total", {"cache": source.key}) or 0.0


async def to_the_last_moment(backend: CacheBackend, source: Source, move_clock: Callable[[float], None]) -> None:
    """Move the clock to 10 microseconds before the entry ends, which is far less than a load takes."""
    entry = Entry.from_bytes(*await stored(backend, source))
    move_clock(entry.expires - entry.created - 1e-5)


async def test_one_of_many_renews_an_entry_before_it_ends(
    backend: CacheBackend, source: Source, move_clock: Callable[[float], None]
) -> None:
    source.seconds = 0.2
    await source.read()
    await to_the_last_moment(backend, source, move_clock)
    numbers = Counter([found.number for found in await asyncio.gather(*(source.read() for _ in range(30)))])
    assert source.runs == 2
    assert numbers[2] == 1, "the one that renewed it"
    assert numbers[1] == 29, "the others need not wait"
    move_clock(1)
    assert (await source.read()).number == 2


async def test_an_entry_is_not_renewed_long_before_it_ends(source: Source, move_clock: Callable[[float], None]) -> None:
    source.seconds = 0.01
    await source.read()
    move_clock(TTL * 0.85)
    for _ in range(50):
        await source.read()
    assert source.runs == 1


async def test_when_renewing_fails_the_copy_is_good_to_its_end(
    backend: CacheBackend, source: Source, move_clock: Callable[[float], None]
) -> None:
    source.seconds = 0.2
    await source.read()
    source.error = ZeroDivisionError()
    await to_the_last_moment(backend, source, move_clock)
    assert {found.number for found in await asyncio.gather(*(source.read() for _ in range(20)))} == {1}
    assert source.runs > 1
    move_clock(1)
    with pytest.raises(ZeroDivisionError):
        await source.read()


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"garbage",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda data: data.replace(b'"number":1', b'"number":9'),
        lambda data: bytes(byte ^ 0x20 for byte in data),
        lambda data: b"\x80\x04\x95" + data,
        lambda _: b"\x00" * 100_000,
    ],
)
async def test_a_damaged_entry_is_a_miss_and_is_replaced(
    backend: CacheBackend, source: Source, damage: Callable[[bytes], bytes]
) -> None:
    await source.read()
    key, data = await stored(backend, source)
    await plant(backend, key, damage(data))
    assert (await source.read()).number == 2
    assert corrupt_count(source) == 2, "found before and after the lock was taken"
    assert (await source.read()).number == 2


async def test_an_entry_under_another_key_is_a_miss(backend: CacheBackend, source: Source) -> None:
    other = Source()
    other.runs = 40
    await other.read()
    await source.read()
    (key, _), (_, foreign) = await stored(backend, source), await stored(backend, other)
    await plant(backend, key, foreign)
    assert (await source.read()).number == 2


async def test_an_entry_of_the_right_form_but_the_wrong_type_is_a_miss(backend: CacheBackend, source: Source) -> None:
    await source.read()
    key, data = await stored(backend, source)
    old = Entry.from_bytes(key, data)
    forged = Entry(b'{"number":"many"}', old.tags, old.generations, old.created, old.expires, 0)
    await plant(backend, key, forged.to_bytes(key))
    assert (await source.read()).number == 2


async def test_nothing_stored_is_python(backend: CacheBackend, source: Source) -> None:
    await source.read()
    _, data = await stored(backend, source)
    assert data.endswith(b'\n{"number":1}')


async def test_clearing_counts_what_could_still_be_shown(
    cache: Cache, backend: CacheBackend, move_clock: Callable[[float], None]
) -> None:
    name = f"clear.{uuid4().hex}"

    @cached(key=f"{name}:{{number}}", ttl=TTL, tags=["note:{number}"], shared=True)
    async def read(number: int) -> UUID:
        del number
        return uuid4()

    @cached(key=f"{name}.other", ttl=TTL, shared=True)
    async def other() -> UUID:
        return uuid4()

    kept = await other()
    first = [await read(number) for number in range(5)]
    await cache.invalidate(tag("note", 0, tenant_id=None), tag("note", 1, tenant_id=None))
    assert await cache.clear(f"{name}:") == 3
    assert [key async for page in backend.scan(f"{name}:") for key, _ in page] == []
    assert await cache.clear(f"{name}:") == 0
    assert not {await read(number) for number in range(5)} & set(first)
    assert await other() == kept
    move_clock(TTL + 1)
    assert await cache.clear(f"{name}:") == 0


async def test_everything_can_be_invalidated_at_once(source: Source) -> None:
    await source.read()
    await get_cache().invalidate("~all")
    assert (await source.read()).number == 2
