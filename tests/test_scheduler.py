"""How the scheduler tells how it fares, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from fastapi_ignite import scheduler as scheduling
from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.periodic_runs import scheduler_state
from fastapi_ignite.scheduler import PERIODIC, Running, SuccessRecord

FIND_LOST_FILES = PERIODIC[0]


async def test_a_run_under_way_ends_by_itself() -> None:
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def job() -> None:
        started.set()
        await may_end.wait()
        ended.set()

    running = Running()
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        running.watch(FIND_LOST_FILES, job),
        "interval",
        hours=1,
        next_run_time=clock.now(),
        misfire_grace_time=None,
        max_instances=1,
    )
    scheduler.start()
    await started.wait()
    scheduler.pause()
    waiting = asyncio.create_task(running.wait(timedelta(minutes=1).total_seconds()))
    await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    await waiting
    scheduler.shutdown(wait=False)
    assert ended.is_set()
    await running.wait(60)


async def test_a_run_that_never_ends_is_noticed_and_one_that_fails_is_no_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def hang() -> None:
        await asyncio.Event().wait()

    running = Running()
    await running.watch(FIND_LOST_FILES, fail)()
    assert running.ages() == {}
    stuck = asyncio.ensure_future(running.watch(FIND_LOST_FILES, hang)())
    await asyncio.sleep(0)
    assert running.are_moving()
    monkeypatch.setattr(scheduling, "LEAST_STUCK", timedelta(0))
    monkeypatch.setattr(scheduling, "LEAST_PATIENCE", timedelta(0))
    monkeypatch.setattr(scheduling, "INTERVALS_OF_PATIENCE", 0)
    assert not running.are_moving()
    stuck.cancel()
    await asyncio.wait([stuck])
    assert running.are_moving()


async def test_its_record_comes_with_the_first_run_and_goes_with_the_last(database: Database) -> None:
    async def state() -> str:
        async with database.system() as session:
            return await scheduler_state(session)

    record = SuccessRecord(database, Running())
    assert await state() == "missing"
    keeping = asyncio.create_task(record.keep())
    for _ in range(1000):
        if await state() != "missing":
            break
        await asyncio.sleep(0.02)
    assert await state() == "ok"
    keeping.cancel()
    await asyncio.wait([keeping])
    await record.remove()
    assert await state() == "missing"


def test_every_job_has_patience_for_more_than_one_interval() -> None:
    assert all(job.patience > timedelta(seconds=job.seconds) for job in PERIODIC)
    assert FIND_LOST_FILES.patience == timedelta(minutes=1)
