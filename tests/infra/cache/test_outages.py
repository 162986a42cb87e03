"""Tests of cache backends that are unreachable, hang, fail during work, and recover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from fastapi_ignite.infra.cache import Cache, FileBackend, MemoryBackend, RedisBackend, cached, use_cache
from fastapi_ignite.infra.cache.backend import Snapshot
from fastapi_ignite.infra.cache.pending_invalidations import MAX_TAGS
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.flaky_redis import FlakyRedis, refused_url

FOR_EVER = 3600.0
CALLS = 50


class Source:
    """Has a cached function and counts its runs."""

    def __init__(self) -> None:
        self.value = "old"
        self.runs = 0
        self.key = f"outage.{uuid4().hex}"
        self.during: Callable[[], Awaitable[None]] | None = None
        self.read = cached(key=f"{self.key}:{{number}}", tags=["t", "t:{number}"], shared=True)(self._load)

    async def _load(self, number: int = 0) -> str:
        del number
        self.runs += 1
        value = self.value
        if self.during:
            await self.during()
        return value

    def count(self, outcome: str) -> float:
        return REGISTRY.get_sample_value("ignite_cache_requests_total", {"cache": self.key, "outcome": outcome}) or 0.0


@asynccontextmanager
async def cache_at(
    url: str, *, namespace: str = "", patience: float = 5, retry_after: float = FOR_EVER
) -> AsyncGenerator[Cache]:
    made = Cache(
        RedisBackend(url, namespace=namespace or uuid4().hex, timeout=patience),
        timeout=patience,
        retry_after=retry_after,
    )
    try:
        with use_cache(made):
            yield made
    finally:
        await made.close()


@pytest.fixture
async def flaky(addresses: ServiceAddresses) -> AsyncGenerator[FlakyRedis]:
    async with FlakyRedis(addresses.redis_url) as proxy:
        yield proxy


def errors() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "ignite_cache_backend_errors"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"waited in vain until {what}")


async def test_without_redis_every_call_runs_the_function_once() -> None:
    source, before = Source(), errors()
    async with cache_at(refused_url()) as cache:
        assert [await source.read() for _ in range(CALLS)] == ["old"] * CALLS
        assert source.runs == CALLS
        assert source.count("bypass") == CALLS
        assert errors() == before + 1, "only the first call tried"
        await cache.invalidate("-:t")
        assert await cache.clear("outage.") == 0


async def test_a_redis_that_never_answers_costs_one_wait(flaky: FlakyRedis) -> None:
    await flaky.hang()
    source = Source()
    async with cache_at(flaky.url, patience=0.3):
        assert [await source.read(number) for number in range(CALLS)] == ["old"] * CALLS
    assert source.runs == source.count("bypass") == CALLS
    assert flaky.connections <= 2, "one, and its only retry"


async def test_a_crowd_before_a_redis_that_never_answers_is_served(flaky: FlakyRedis) -> None:
    await flaky.hang()
    source = Source()
    async with cache_at(flaky.url, patience=0.3):
        found = await asyncio.gather(*(source.read(number % 20) for number in range(200)))
    assert found == ["old"] * 200
    assert source.runs == 200


async def test_a_failure_of_the_function_is_no_failure_of_the_cache() -> None:
    source = Source()

    async def fail() -> None:
        raise ConnectionRefusedError

    source.during = fail
    async with cache_at(refused_url()):
        with pytest.raises(ConnectionRefusedError):
            await source.read()
    assert source.runs == 1


async def test_redis_lost_during_the_load_costs_nothing_but_the_entry(flaky: FlakyRedis) -> None:
    source = Source()
    source.during = flaky.cut
    async with cache_at(flaky.url):
        assert await source.read() == "old"
        assert source.runs == 1


async def test_it_is_used_again_when_it_is_back(flaky: FlakyRedis) -> None:
    source = Source()
    async with cache_at(flaky.url, retry_after=0.05):
        await source.read()
        await flaky.cut()
        assert await source.read() == "old"
        assert source.count("bypass") == 1
        await flaky.restore()

        async def hits() -> bool:
            await source.read()
            return source.count("hit") > 0

        await until(hits, "the entry is shown again")
        before = source.count("bypass")
        for _ in range(20):
            await source.read()
        assert source.count("bypass") == before


async def test_an_invalidation_that_was_lost_is_made_up_for(flaky: FlakyRedis, addresses: ServiceAddresses) -> None:
    """The process that writes loses Redis before it can invalidate. Another process continues to use Redis."""
    source, namespace = Source(), uuid4().hex
    async with (
        cache_at(addresses.redis_url, namespace=namespace) as elsewhere,
        cache_at(flaky.url, namespace=namespace, retry_after=0.05) as here,
    ):
        assert await source.read() == "old"
        await flaky.cut()
        source.value = "new"
        await here.invalidate("-:t")
        assert [await source.read() for _ in range(5)] == ["new"] * 5, "what it cannot invalidate it does not show"
        await flaky.restore()

        async def invalidated() -> bool:
            for _ in range(1500):  # without a pause, because the moment when it may try again is short
                assert await source.read() == "new", "nor shows it before the others know"
                await asyncio.sleep(0)
            with use_cache(elsewhere):
                return await source.read() == "new"

        await until(invalidated, "the other process has heard of the write")


async def test_more_lost_invalidations_than_can_be_remembered_drop_everything(
    flaky: FlakyRedis, addresses: ServiceAddresses
) -> None:
    source, namespace = Source(), uuid4().hex
    async with (
        cache_at(addresses.redis_url, namespace=namespace) as elsewhere,
        cache_at(flaky.url, namespace=namespace, retry_after=0.05) as here,
    ):
        await source.read(1)
        await flaky.cut()
        source.value = "new"
        await here.invalidate("-:t:1", *(f"-:other:{number}" for number in range(MAX_TAGS)))
        assert REGISTRY.get_sample_value("ignite_cache_owed_invalidations", {"backend": "redis"}) == 1
        await flaky.restore()

        async def invalidated() -> bool:
            with use_cache(elsewhere):
                return await source.read(1) == "new"

        await until(invalidated, "everything was dropped")


async def test_a_write_that_is_cancelled_while_it_invalidates_still_does(
    flaky: FlakyRedis, addresses: ServiceAddresses
) -> None:
    source, namespace = Source(), uuid4().hex
    async with (
        cache_at(addresses.redis_url, namespace=namespace) as elsewhere,
        cache_at(flaky.url, namespace=namespace, patience=0.5, retry_after=0.05) as here,
    ):
        await source.read()
        await flaky.hang()
        source.value = "new"
        write = asyncio.create_task(here.invalidate("-:t"))
        await asyncio.sleep(0.05)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        await flaky.restore()

        async def invalidated() -> bool:
            with use_cache(elsewhere):
                return await source.read() == "new"

        await until(invalidated, "the other process has heard of the write")


async def test_a_folder_that_cannot_be_used_fails_no_call(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    source = Source()
    cache = Cache(FileBackend(tmp_path / "cache", max_bytes=2**20), timeout=30, retry_after=FOR_EVER)
    with use_cache(cache):
        assert [await source.read() for _ in range(5)] == ["old"] * 5
        await cache.invalidate("-:t")
    assert source.runs == 5
    await cache.close()


async def test_a_lock_that_an_outage_kept_is_released_when_the_disk_is_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "cache", tmp_path / "away"
    begun, go_on = asyncio.Event(), asyncio.Event()

    @cached(key="slow:{number}", shared=True)
    async def slow(number: int) -> int:
        if number == 0:
            begun.set()
            await go_on.wait()
        return number

    cache = Cache(FileBackend(folder, max_bytes=2**20), timeout=5, retry_after=0.2, lock_seconds=60)
    elsewhere = Cache(FileBackend(folder, max_bytes=2**20), timeout=5, lock_seconds=60)
    with use_cache(cache):
        loading = asyncio.create_task(slow(0))
        await begun.wait()
        folder.rename(away)
        folder.write_text("no folder")  # storing the value fails, and so does releasing the lock
        go_on.set()
        assert await loading == 0
        folder.unlink()
        away.rename(folder)
        await asyncio.sleep(0.3)
        assert await slow(1) == 1
    with use_cache(elsewhere):  # another process would wait for the lock for up to two minutes
        assert await asyncio.wait_for(slow(0), 20) == 0
    await cache.close()
    await elsewhere.close()


class AnswerLost(MemoryBackend):
    """A backend that takes the first lock and fails before it says so."""

    lost = False

    async def acquire(
        self, lock: str, owner: str, seconds: float, key: str, tags: Sequence[str]
    ) -> tuple[bool, Snapshot]:
        answer = await super().acquire(lock, owner, seconds, key, tags)
        if not self.lost:
            self.lost = True
            raise ValueError("the answer was lost")
        return answer


async def test_a_lock_whose_answer_was_lost_keeps_nobody_waiting() -> None:
    source = Source()
    with use_cache(Cache(AnswerLost(max_bytes=2**20), lock_seconds=FOR_EVER)):
        async with asyncio.timeout(60):
            for _ in range(3):
                assert await source.read() == "old"
    assert (source.runs, source.count("miss"), source.count("hit")) == (2, 2, 1)
