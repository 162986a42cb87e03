"""Tests of when the breaker opens, and when it must not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.infra.cache import CacheUnavailableError, MemoryBackend
from fastapi_ignite.infra.cache.backend import BackendBreaker

FOR_EVER = 3600.0


class Call:
    """Simulates a backend operation, and counts its runs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.runs = 0

    async def __call__(self) -> str:
        self.runs += 1
        if self.error:
            raise self.error
        return "answered"


@pytest.fixture
def breaker() -> BackendBreaker:
    return BackendBreaker(MemoryBackend(max_bytes=1), timeout=0.05, retry_after=FOR_EVER)


async def refused(breaker: BackendBreaker, call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await breaker.run("read", call)
    except CacheUnavailableError:
        return True
    return False


async def test_after_an_outage_nothing_is_tried_until_it_is_time() -> None:
    breaker = BackendBreaker(MemoryBackend(max_bytes=1), timeout=5, retry_after=0.05)
    failing, working = Call(TimeoutError()), Call()
    assert await refused(breaker, failing)
    assert await refused(breaker, working)
    assert working.runs == 0
    await asyncio.sleep(0.06)
    assert not await refused(breaker, working)
    assert not await refused(breaker, working)
    assert working.runs == 2


async def test_only_one_call_at_a_time_tries_again() -> None:
    breaker = BackendBreaker(MemoryBackend(max_bytes=1), timeout=5, retry_after=0.05)
    await refused(breaker, Call(TimeoutError()))
    await asyncio.sleep(0.06)
    go_on = asyncio.Event()
    trials = 0

    async def trial() -> str:
        nonlocal trials
        trials += 1
        await go_on.wait()
        return "answered"

    crowd = [asyncio.create_task(refused(breaker, trial)) for _ in range(50)]
    await asyncio.sleep(0)
    go_on.set()
    assert sorted(await asyncio.gather(*crowd)) == [False] + [True] * 49
    assert trials == 1


async def test_an_error_that_is_no_outage_does_not_keep_others_away(breaker: BackendBreaker) -> None:
    assert await refused(breaker, Call(KeyError()))
    assert not await refused(breaker, Call())


async def test_a_trial_that_ends_with_an_error_of_its_own_was_answered() -> None:
    """Otherwise, calls of this kind could keep all other calls away for as long as they come."""
    breaker = BackendBreaker(MemoryBackend(max_bytes=1), timeout=5, retry_after=0.05)
    await refused(breaker, Call(TimeoutError()))
    await asyncio.sleep(0.06)
    wrong, working = Call(KeyError()), Call()
    assert await refused(breaker, wrong)
    assert not await refused(breaker, working)
    assert (wrong.runs, working.runs) == (1, 1)


async def test_a_cancelled_trial_tells_nothing_and_another_follows() -> None:
    breaker = BackendBreaker(MemoryBackend(max_bytes=1), timeout=5, retry_after=0.2)
    await refused(breaker, Call(TimeoutError()))
    await asyncio.sleep(0.21)
    trial = asyncio.create_task(breaker.run("read", asyncio.Event().wait))
    await asyncio.sleep(0)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    working = Call()
    assert await refused(breaker, working)
    await asyncio.sleep(0.21)
    assert not await refused(breaker, working)
    assert working.runs == 1


async def test_a_loop_that_lags_is_no_outage(breaker: BackendBreaker) -> None:
    """Under load, every timer is late. Without the cache, the load would be even higher."""

    async def noticed_late() -> str:
        for _ in range(10):
            time.sleep(0.03)  # noqa: ASYNC251  the test must block the loop
            await asyncio.sleep(0)
        return "answered"

    assert not await refused(breaker, noticed_late)


async def test_a_loop_that_lags_still_sees_an_outage(breaker: BackendBreaker) -> None:
    """Otherwise, every request would wait for a dead backend, just when there are many requests."""
    working = Call()
    waiting = asyncio.create_task(refused(breaker, asyncio.Event().wait))
    while not waiting.done():
        time.sleep(0.01)  # noqa: ASYNC251  the test must block the loop
        await asyncio.sleep(0)
    assert await refused(breaker, working)
    assert working.runs == 0


async def test_each_call_has_its_own_time_though_one_timer_bounds_them_all() -> None:
    breaker = BackendBreaker(MemoryBackend(max_bytes=1), timeout=0.6, retry_after=FOR_EVER)
    silent = asyncio.create_task(refused(breaker, asyncio.Event().wait))
    await asyncio.sleep(0.4)
    later = asyncio.create_task(refused(breaker, lambda: asyncio.sleep(0.4)))
    assert await silent
    assert not later.done()
    assert not await later


async def test_a_cancelled_caller_says_nothing_about_the_backend(breaker: BackendBreaker) -> None:
    task = asyncio.create_task(breaker.run("read", asyncio.Event().wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await refused(breaker, Call())


async def test_closing_waits_for_the_calls_under_way_and_lets_none_begin() -> None:
    breaker = BackendBreaker(MemoryBackend(max_bytes=1), timeout=5, retry_after=FOR_EVER)
    go_on = asyncio.Event()
    called = asyncio.create_task(refused(breaker, go_on.wait))
    await asyncio.sleep(0)
    closing = asyncio.create_task(breaker.close())
    await asyncio.sleep(0)
    late = Call()
    assert await refused(breaker, late)
    assert late.runs == 0
    assert not closing.done()
    go_on.set()
    await closing
    assert not await called
