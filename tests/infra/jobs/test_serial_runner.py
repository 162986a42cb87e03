"""Tests of a runner that does one piece of work at a time, and whose callers do not wait for a turn."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from fastapi_ignite.infra.jobs.serial_runner import SerialRunner


class Work:
    """Simulates work that ends when the test sets `may_end`."""

    def __init__(self) -> None:
        self.running = 0
        self.done: list[tuple[str, object]] = []
        self.may_end = asyncio.Event()

    async def __call__(self, name: str) -> None:
        self.running += 1
        assert self.running == 1, "two at once"
        await self.may_end.wait()
        self.running -= 1
        self.done.append((name, structlog.contextvars.get_contextvars().get("request_id")))
        if name == "broken":
            raise ValueError(name)


async def in_request(runner: SerialRunner, name: str) -> None:
    structlog.contextvars.bind_contextvars(request_id=f"of {name}")
    await runner.run(name)


async def test_what_comes_meanwhile_is_noted_once_and_done_by_whoever_works() -> None:
    work = Work()
    runner = SerialRunner(work)
    first = asyncio.create_task(in_request(runner, "a"))
    await asyncio.sleep(0)
    for name in ("b", "c", "b"):
        await asyncio.create_task(in_request(runner, name))
    assert not first.done()
    work.may_end.set()
    await first
    assert work.done == [("a", "of a"), ("b", "of b"), ("c", "of c")]


async def test_work_that_fails_does_not_block_the_runner() -> None:
    work = Work()
    work.may_end.set()
    runner = SerialRunner(work)
    with pytest.raises(ValueError, match="broken"):
        await runner.run("broken")
    await runner.run("a")
    assert [name for name, _ in work.done] == ["broken", "a"]
