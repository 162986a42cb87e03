"""Tests that many callers share one load, and that a new caller never gets an old one, on every backend."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from fastapi_ignite.infra.cache import Cache, cached, invalidate_cache

CROWD = 500


@pytest.fixture(autouse=True)
def _use(cache: Cache) -> None:
    """Install the cache for all tests of this module."""


async def test_a_reader_cannot_bring_an_old_value_back() -> None:
    """The reader loads the old value, the writer writes and invalidates, and then the reader stores the old value."""
    stored = "old"
    loaded, go_on = asyncio.Event(), asyncio.Event()

    @cached(tags=["notes"], shared=True)
    async def read() -> str:
        value = stored
        loaded.set()
        await go_on.wait()
        return value

    @invalidate_cache(tags=["notes"], shared=True)
    async def write(value: str) -> None:
        nonlocal stored
        stored = value

    slow_reader = asyncio.create_task(read())
    await loaded.wait()
    await write("new")
    later_reader = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    go_on.set()
    assert await slow_reader == "old", "began before the write"
    assert await later_reader == "new", "began after the write, and must not share the old load"
    assert await read() == "new"


async def test_a_crowd_runs_the_function_once() -> None:
    runs = 0

    @cached(shared=True)
    async def read() -> UUID:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.05)
        return uuid4()

    assert len(set(await asyncio.gather(*(read() for _ in range(CROWD))))) == 1
    assert runs == 1


async def test_a_crowd_that_arrives_bit_by_bit_runs_the_function_once() -> None:
    runs = 0

    @cached(tags=["notes"], shared=True)
    async def read() -> UUID:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.1)
        return uuid4()

    async def arrive(number: int) -> UUID:
        await asyncio.sleep(number / 2000)
        return await read()

    assert len(set(await asyncio.gather(*(arrive(number) for number in range(100))))) == 1
    assert runs == 1


async def test_a_failure_is_everybodys_failure() -> None:
    runs = 0

    @cached(shared=True)
    async def read() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.05)
        raise ZeroDivisionError

    results = await asyncio.gather(*(read() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {ZeroDivisionError}
    assert runs == 1


async def test_when_the_caller_at_work_is_cancelled_another_takes_over() -> None:
    runs = 0
    working = asyncio.Event()

    @cached(shared=True)
    async def read() -> int:
        nonlocal runs
        runs += 1
        working.set()
        await asyncio.sleep(0.1)
        return runs

    first = asyncio.create_task(read())
    await working.wait()
    others = [asyncio.create_task(read()) for _ in range(20)]
    await asyncio.sleep(0.02)
    first.cancel()
    assert set(await asyncio.gather(*others)) == {2}
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    @cached(shared=True)
    async def read() -> int:
        await asyncio.sleep(0.1)
        return 1

    tasks = [asyncio.create_task(read()) for _ in range(10)]
    await asyncio.sleep(0.02)
    for task in tasks[5:]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[:5] == [1] * 5
    assert all(isinstance(result, asyncio.CancelledError) for result in results[5:])
