"""Tests of how the scheduler reports its runs, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import declarations, run_tracker
from fastapi_ignite.infra.jobs.run_recorder import RunRecorder
from fastapi_ignite.infra.jobs.run_tracker import RunTracker
from fastapi_ignite.infra.periodic_runs import scheduler_state
from fastapi_ignite.ingestion.tasks import find_lost_files
from fastapi_ignite.tasks import PERIODIC_JOBS


async def test_a_run_under_way_ends_by_itself() -> None:
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def job() -> None:
        started.set()
        await may_end.wait()
        ended.set()

    tracker = RunTracker()
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        tracker.track(find_lost_files, job),
        "interval",
        hours=1,
        next_run_time=clock.now(),
        misfire_grace_time=None,
        max_instances=1,
    )
    scheduler.start()
    await started.wait()
    scheduler.pause()
    waiting = asyncio.create_task(tracker.wait(timedelta(minutes=1).total_seconds()))
    await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    await waiting
    scheduler.shutdown(wait=False)
    assert ended.is_set()
    await tracker.wait(60)


async def test_a_run_that_never_ends_is_noticed_and_one_that_fails_is_no_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def hang() -> None:
        await asyncio.Event().wait()

    tracker = RunTracker()
    await tracker.track(find_lost_files, fail)()
    assert tracker.since_success() == {}
    stuck = asyncio.ensure_future(tracker.track(find_lost_files, hang)())
    await asyncio.sleep(0)
    assert tracker.none_is_stuck()
    monkeypatch.setattr(run_tracker, "MIN_STUCK", timedelta(0))
    monkeypatch.setattr(declarations, "MIN_PATIENCE", timedelta(0))
    monkeypatch.setattr(declarations, "PATIENCE_INTERVALS", 0)
    assert not tracker.none_is_stuck()
    stuck.cancel()
    await asyncio.wait([stuck])
    assert tracker.none_is_stuck()


async def test_its_record_comes_with_the_first_run_and_goes_with_the_last(database: Database) -> None:
    async def state() -> str:
        async with database.system() as session:
            return await scheduler_state(session)

    recorder = RunRecorder(database, RunTracker(), PERIODIC_JOBS)
    assert await state() == "missing"
    keeping = asyncio.create_task(recorder.run())
    for _ in range(1000):
        if await state() != "missing":
            break
        await asyncio.sleep(0.02)
    assert await state() == "ok"
    keeping.cancel()
    await asyncio.wait([keeping])
    await recorder.remove()
    assert await state() == "missing"


def test_every_job_has_patience_for_more_than_one_interval() -> None:
    assert all(job.patience > job.every for job in PERIODIC_JOBS)
    assert find_lost_files.patience == timedelta(minutes=1)
