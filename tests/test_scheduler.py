"""How the scheduler ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from fastapi_ignite.core import clock
from fastapi_ignite.scheduler import Running


async def test_a_run_under_way_ends_by_itself() -> None:
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def job() -> None:
        started.set()
        await may_end.wait()
        ended.set()

    running = Running()
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        running.watch(job), "interval", hours=1, next_run_time=clock.now(), misfire_grace_time=None, max_instances=1
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
