"""Tests of the rate limiter, which decides in Redis, or in the process while Redis is unreachable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.breaker import WAITS
from fastapi_ignite.infra.ratelimit import RateLimiter, limiter, process
from fastapi_ignite.infra.ratelimit.process import ProcessWindow, ProcessWindows
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.flaky_redis import FlakyRedis, refused_url

NO_RETRIES = Retry(NoBackoff(), 0)
PATIENT = 30.0  # a busy machine must not look like an outage


@pytest.fixture(scope="module")
async def redis(addresses: ServiceAddresses) -> AsyncGenerator[Redis]:
    async with Redis.from_url(addresses.redis_url) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"test:{new_id()}"


@pytest.fixture
def retry_redis_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every request try whether Redis is back."""
    monkeypatch.setattr(limiter, "RETRY_REDIS_AFTER_SECONDS", 0.0)


@asynccontextmanager
async def limiter_without_redis() -> AsyncGenerator[RateLimiter]:
    async with Redis.from_url(refused_url(), retry=NO_RETRIES) as nobody:
        yield RateLimiter(nobody)


async def test_units_are_counted_down_and_then_refused(redis: Redis, key: str) -> None:
    window = RateLimiter(redis, patience=PATIENT)
    decisions = [await window.hit(key, 3) for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
    assert all(0 < decision.reset_seconds <= 60 for decision in decisions)
    assert not any(decision.degraded for decision in decisions)


async def test_two_processes_share_one_window(addresses: ServiceAddresses, key: str) -> None:
    clients = [Redis.from_url(addresses.redis_url) for _ in range(2)]
    processes = [RateLimiter(client, patience=PATIENT) for client in clients]
    decisions = await asyncio.gather(*(processes[number % 2].hit(key, 25) for number in range(75)))
    for client in clients:
        await client.aclose()
    assert sorted(decision.remaining for decision in decisions if decision.allowed) == list(range(25))
    assert sum(not decision.allowed for decision in decisions) == 50


async def test_keys_do_not_share(redis: Redis, key: str) -> None:
    window = RateLimiter(redis, patience=PATIENT)
    assert (await window.hit(key, 1)).allowed
    assert (await window.hit(f"{key}-other", 1)).allowed
    assert not (await window.hit(key, 1)).allowed


async def test_a_cost_above_the_limit_is_the_whole_minute(redis: Redis, key: str) -> None:
    window = RateLimiter(redis, patience=PATIENT)
    assert (await window.hit(key, 3, cost=5)).remaining == 0
    assert not (await window.hit(key, 3, cost=5)).allowed


async def test_nothing_stays_in_redis_after_the_window(redis: Redis, key: str) -> None:
    await RateLimiter(redis, patience=PATIENT).hit(key, 5)
    assert 0 < await redis.pttl(f"rate:{{{key}}}") <= 60_060


async def test_a_restarted_redis_learns_the_script_again(redis: Redis, key: str) -> None:
    window = RateLimiter(redis, patience=PATIENT)
    await window.hit(key, 2)
    await redis.script_flush()
    decision = await window.hit(key, 2)
    assert (decision.allowed, decision.remaining, decision.degraded) == (True, 0, False)


class TestWithoutRedis:
    """These tests cover a process that decides alone, by the same rules."""

    async def test_units_are_counted_down_and_then_refused(self, key: str) -> None:
        async with limiter_without_redis() as window:
            decisions = [await window.hit(key, 3) for _ in range(5)]
        assert all(decision.degraded for decision in decisions)
        assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
        assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
        assert all(0 < decision.reset_seconds <= 60 for decision in decisions)

    async def test_costs_count(self, key: str) -> None:
        async with limiter_without_redis() as window:
            decisions = [await window.hit(key, 5, cost=cost) for cost in (2, 4, 3, 1)]
        assert [decision.allowed for decision in decisions] == [True, False, True, False]

    async def test_an_outage_refills_nothing(self, addresses: ServiceAddresses, key: str) -> None:
        """Redis has allowed two of three requests. When it fails, the process allows one more, and not three."""
        async with FlakyRedis(addresses.redis_url) as line, Redis.from_url(line.url, retry=NO_RETRIES) as client:
            window = RateLimiter(client, patience=PATIENT)
            before = [await window.hit(key, 3) for _ in range(2)]
            await line.cut()
            after = [await window.hit(key, 3) for _ in range(3)]
        assert [decision.degraded for decision in (*before, *after)] == [False, False, True, True, True]
        assert [decision.allowed for decision in (*before, *after)] == [True, True, True, False, False]

    @pytest.mark.usefixtures("retry_redis_at_once")
    async def test_redis_is_told_of_the_units_when_it_is_back(
        self, addresses: ServiceAddresses, redis: Redis, key: str
    ) -> None:
        """Otherwise, every outage would give a tenant the limit of a minute twice."""
        async with FlakyRedis(addresses.redis_url) as line, Redis.from_url(line.url, retry=NO_RETRIES) as client:
            window = RateLimiter(client, patience=PATIENT)
            await line.cut()
            away = [await window.hit(key, 6) for _ in range(4)]
            await line.restore()
            back = await window.hit(key, 6)
            again = await window.hit(key, 6)
        assert [(decision.remaining, decision.degraded) for decision in (*away, back, again)] == [
            (5, True),
            (4, True),
            (3, True),
            (2, True),
            (1, False),
            (0, False),
        ]
        assert not (await RateLimiter(redis, patience=PATIENT).hit(key, 6)).allowed, "other processes see them too"

    async def test_an_error_about_one_key_is_no_outage(self, redis: Redis, key: str) -> None:
        await redis.set(f"rate:{{{key}}}", "not a window", ex=60)
        window = RateLimiter(redis, patience=PATIENT)
        decisions = [await window.hit(key, 2) for _ in range(3)]
        assert [decision.allowed for decision in decisions] == [True, True, False]
        assert all(decision.degraded for decision in decisions)
        assert not (await window.hit(f"{key}-other", 2)).degraded

    async def test_after_an_outage_nobody_asks_for_a_while(self, addresses: ServiceAddresses, key: str) -> None:
        async with FlakyRedis(addresses.redis_url) as line, Redis.from_url(line.url, retry=NO_RETRIES) as client:
            window = RateLimiter(client)
            await line.cut()
            assert (await window.hit(key, 100)).degraded
            await line.restore()
            before = line.connections
            assert (await window.hit(key, 100)).degraded
            assert line.connections == before

    async def test_a_silent_redis_is_asked_by_few(self, addresses: ServiceAddresses, key: str) -> None:
        """Only the requests that are under way wait for the timeout, not every request."""
        async with FlakyRedis(addresses.redis_url) as line, Redis.from_url(line.url, retry=NO_RETRIES) as client:
            await line.hang()
            window = RateLimiter(client)
            before = line.connections
            decisions = await asyncio.gather(*(window.hit(key, 50) for _ in range(150)))
            decisions += [await window.hit(key, 50) for _ in range(50)]
            asked = line.connections - before
        assert all(decision.degraded for decision in decisions)
        assert sum(decision.allowed for decision in decisions) == 50
        assert asked <= 4  # one message for all who ask at the same time

    async def test_a_lagging_loop_is_no_outage(self, addresses: ServiceAddresses, key: str) -> None:
        """A process that is too busy to read the answers in time must not treat Redis as unreachable."""
        async with Redis.from_url(addresses.redis_url) as cold:
            asked = asyncio.ensure_future(RateLimiter(cold).hit(key, 10))
            while not asked.done():
                time.sleep(limiter.PATIENCE_SECONDS / WAITS * 3)  # noqa: ASYNC251  the test must block the loop
                await asyncio.sleep(0)
        assert not asked.result().degraded

    def test_no_request_waits_for_redis_for_more_than_a_tenth_of_a_second(self) -> None:
        assert limiter.PATIENCE_SECONDS < 0.1


class TestProcessWindow:
    """These tests check that the window in a process has the rules of the script."""

    @given(st.lists(st.tuples(st.floats(0, 70), st.integers(1, 4)), max_size=40), st.integers(1, 6))
    def test_any_sequence_is_decided_as_by_a_list_of_times(self, steps: list[tuple[float, int]], limit: int) -> None:
        window, now, taken = ProcessWindow(), 1000.0, list[float]()
        for pause, units in steps:
            now += pause
            window.expire(now)
            taken = [at for at in taken if at + 60 > now]
            assert window.used == len(taken)
            if len(taken) + units <= limit:
                window.add(now, units, limit=limit, owed=True)
                taken += [now] * units
            if taken:
                assert window.free_at(1) == taken[0] + 60
                assert window.free_at(len(taken)) == taken[-1] + 60

    def test_what_is_owed_is_told_once(self) -> None:
        window = ProcessWindow()
        for owed in (True, False, True):
            window.add(5.0, 2, limit=10, owed=owed)
        debts = window.take_debts()
        assert [(debt.entry.at, debt.units) for debt in debts] == [(5.0, 4)]
        assert window.take_debts() == []
        window.put_back(debts)
        assert window.take_debts() == debts

    def test_many_units_take_few_entries(self) -> None:
        window = ProcessWindow()
        for number in range(20_000):
            window.expire(number / 200)
            window.add(number / 200, 1, limit=10**9, owed=True)
        assert window.used >= 12_000
        assert len(window.take_debts()) <= 1002

    def test_windows_that_are_over_are_dropped(self) -> None:
        windows = ProcessWindows()
        for number in range(500):
            windows.current(f"key {number}", now=float(number)).add(float(number), 1, limit=9, owed=False)
        assert len(windows._windows) <= 61

    def test_the_number_of_keys_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "MAX_KEYS", 3)
        windows = ProcessWindows()
        for number in range(10):
            windows.current(f"key {number}", now=0.0).add(0.0, 1, limit=9, owed=False)
        assert list(windows._windows) == ["key 7", "key 8", "key 9"]
