"""The rolling window itself, in Redis and in one process."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.ratelimit import RateLimiter, limiter
from fastapi_ignite.infra.services import ServiceAddresses

MICROSECONDS = 1_000_000
NO_RETRIES = Retry(NoBackoff(), 0)


@pytest.fixture(scope="module")
async def redis(addresses: ServiceAddresses) -> AsyncGenerator[Redis]:
    async with Redis.from_url(addresses.redis_url) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"test:{new_id()}"


async def used_before(redis: Redis, key: str, *ages: float) -> None:
    """Units taken so many seconds ago, by Redis's clock."""
    seconds, microseconds = await redis.time()
    now = seconds * MICROSECONDS + microseconds
    await redis.zadd(f"rate:{{{key}}}", {f"{age}": now - age * MICROSECONDS for age in ages})


@asynccontextmanager
async def limiter_without_redis() -> AsyncGenerator[RateLimiter]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with Redis(host="127.0.0.1", port=bound.getsockname()[1], retry=NO_RETRIES) as nobody:
            yield RateLimiter(nobody)


async def test_units_are_counted_down_and_then_refused(redis: Redis, key: str) -> None:
    window = RateLimiter(redis)
    decisions = [await window.hit(key, 3) for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
    assert all(0 < decision.reset_seconds <= 60 for decision in decisions)
    assert not any(decision.degraded for decision in decisions)


async def test_the_window_rolls(redis: Redis, key: str) -> None:
    """Each unit comes back a minute after it was taken: a fixed minute would give all or none back."""
    await used_before(redis, key, 61, 45, 30)
    window = RateLimiter(redis)
    first, second = await window.hit(key, 3), await window.hit(key, 3)
    assert (first.allowed, first.remaining) == (True, 0)
    assert (second.allowed, second.remaining) == (False, 0)
    assert 5 < second.reset_seconds <= 15


async def test_a_refusal_takes_nothing(redis: Redis, key: str) -> None:
    await used_before(redis, key, 50, 40)
    window = RateLimiter(redis)
    for _ in range(10):
        assert not (await window.hit(key, 2)).allowed
    assert await redis.zcard(f"rate:{{{key}}}") == 2
    assert (await window.hit(key, 3)).allowed


async def test_after_a_lower_limit_the_wait_is_for_the_unit_that_makes_room(redis: Redis, key: str) -> None:
    await used_before(redis, key, 55, 50, 40, 20)
    decision = await RateLimiter(redis).hit(key, 2)
    assert not decision.allowed
    assert 10 < decision.reset_seconds <= 20


async def test_two_processes_share_one_window(addresses: ServiceAddresses, key: str) -> None:
    clients = [Redis.from_url(addresses.redis_url) for _ in range(2)]
    processes = [RateLimiter(client) for client in clients]
    decisions = await asyncio.gather(*(processes[number % 2].hit(key, 25) for number in range(75)))
    for client in clients:
        await client.aclose()
    assert sorted(decision.remaining for decision in decisions if decision.allowed) == list(range(25))
    assert sum(not decision.allowed for decision in decisions) == 50


async def test_keys_do_not_share(redis: Redis, key: str) -> None:
    window = RateLimiter(redis)
    assert (await window.hit(key, 1)).allowed
    assert (await window.hit(f"{key}-other", 1)).allowed
    assert not (await window.hit(key, 1)).allowed


async def test_nothing_stays_in_redis_after_the_window(redis: Redis, key: str) -> None:
    await RateLimiter(redis).hit(key, 5)
    assert 0 < await redis.pttl(f"rate:{{{key}}}") <= 60_000


async def test_a_restarted_redis_learns_the_script_again(redis: Redis, key: str) -> None:
    window = RateLimiter(redis)
    await window.hit(key, 2)
    await redis.script_flush()
    decision = await window.hit(key, 2)
    assert (decision.allowed, decision.remaining, decision.degraded) == (True, 0, False)


class TestWithoutRedis:
    """One process decides alone, by the same rules."""

    async def test_units_are_counted_down_and_then_refused(self, key: str) -> None:
        async with limiter_without_redis() as window:
            decisions = [await window.hit(key, 3) for _ in range(5)]
        assert all(decision.degraded for decision in decisions)
        assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
        assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
        assert all(0 < decision.reset_seconds <= 60 for decision in decisions)

    async def test_the_window_rolls(self, key: str) -> None:
        async with limiter_without_redis() as window:
            await window.hit(key, 10)
            (taken,) = window._local._hits[key]
            window._local._hits[key] = deque([taken - 61, taken - 45, taken - 30])
            first, second = await window.hit(key, 3), await window.hit(key, 3)
        assert (first.allowed, first.remaining) == (True, 0)
        assert not second.allowed
        assert 5 < second.reset_seconds <= 15

    async def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limiter, "MAX_LOCAL_KEYS", 3)
        async with limiter_without_redis() as window:
            for number in range(10):
                assert (await window.hit(f"key {number}", 1)).allowed
            assert list(window._local._hits) == ["key 7", "key 8", "key 9"]

    async def test_an_outage_refills_nothing(self, addresses: ServiceAddresses, key: str) -> None:
        """Redis gave two of three; when it goes away the process gives one more, and not three."""
        async with RedisLine(addresses) as line:
            window = RateLimiter(line.client)
            before = [await window.hit(key, 3) for _ in range(2)]
            await line.cut()
            after = [await window.hit(key, 3) for _ in range(3)]
        assert [decision.degraded for decision in (*before, *after)] == [False, False, True, True, True]
        assert [decision.allowed for decision in (*before, *after)] == [True, True, True, False, False]

    async def test_redis_is_asked_again_when_it_is_back(self, addresses: ServiceAddresses, key: str) -> None:
        async with RedisLine(addresses) as line:
            window = RateLimiter(line.client)
            await line.cut()
            assert (await window.hit(key, 100)).degraded
            await line.mend()
            assert (await window.hit(key, 100)).degraded, "the others do not wait for it meanwhile"
            window._ask_again_at = 0.0
            assert not (await window.hit(key, 100)).degraded
            assert not (await window.hit(key, 100)).degraded

    async def test_a_silent_redis_is_asked_by_few(self, key: str) -> None:
        """What it costs to notice is paid by the requests under way, not by every request."""
        connections: list[asyncio.StreamWriter] = []

        async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)

        server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        async with server, Redis(host="127.0.0.1", port=server.sockets[0].getsockname()[1]) as silent:
            window = RateLimiter(silent)
            decisions = await asyncio.gather(*(window.hit(key, 50) for _ in range(150)))
            decisions += [await window.hit(key, 50) for _ in range(50)]
            for writer in connections:
                writer.close()
        assert all(decision.degraded for decision in decisions)
        assert sum(decision.allowed for decision in decisions) == 50
        assert len(connections) < 50

    async def test_a_lagging_loop_is_no_outage(self, addresses: ServiceAddresses, key: str) -> None:
        """A process too busy to hear the answers in time does not say that Redis is away."""
        async with Redis.from_url(addresses.redis_url) as cold:
            asked = asyncio.ensure_future(RateLimiter(cold).hit(key, 10))
            while not asked.done():
                time.sleep(limiter.WAIT_SECONDS * 1.2)  # noqa: ASYNC251  to hold the loop is the point
                await asyncio.sleep(0)
        assert not asked.result().degraded


class RedisLine:
    """A connection to the real Redis that can be cut and mended."""

    def __init__(self, addresses: ServiceAddresses) -> None:
        url = urlsplit(addresses.redis_url)
        self._target = (url.hostname, url.port)
        self._url = url
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._port = 0
        self.client = Redis()

    async def __aenter__(self) -> Self:
        await self.mend()
        login = self._url.netloc.rpartition("@")[0]
        self.client = Redis.from_url(self._url._replace(netloc=f"{login}@127.0.0.1:{self._port}").geturl())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
