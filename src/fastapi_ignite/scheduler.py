"""The scheduler process. It runs every feature's periodic jobs."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime, timedelta
from functools import partial

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.heartbeat import beating
from fastapi_ignite.infra.jobs import JobQueue, PeriodicJob, TaskContext, make_broker
from fastapi_ignite.infra.jobs.run_recorder import RunRecorder
from fastapi_ignite.infra.jobs.run_tracker import RunTracker
from fastapi_ignite.infra.services import Services
from fastapi_ignite.infra.storage.backends import open_storage, verify_storage
from fastapi_ignite.tasks import PERIODIC_JOBS

STOP_SECONDS = 4  # an idle stack ends within five
log = structlog.get_logger(__name__)


def next_run(job: PeriodicJob) -> datetime:
    """Return when the job runs next in a scheduler that starts now, leaving out the run at its start."""
    following: datetime = _trigger(job).get_next_fire_time(None, clock.now())
    return following


def _trigger(job: PeriodicJob) -> BaseTrigger:
    if job.daily_at:
        return CronTrigger(hour=job.daily_at.hour, minute=job.daily_at.minute, timezone="UTC")
    return IntervalTrigger(seconds=int(job.every.total_seconds()), timezone="UTC")


def schedule(context: TaskContext, tracker: RunTracker) -> AsyncIOScheduler:
    """Return a scheduler of all periodic jobs. A run that comes late still runs, once; a run never overlaps itself."""
    scheduler = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    start = clock.now() + timedelta(seconds=1)
    for job in PERIODIC_JOBS:
        run = tracker.track(job, partial(job.run, context))
        scheduler.add_job(run, _trigger(job), id=job.name, next_run_time=start)
    return scheduler


async def run(settings: Settings, services: Services) -> None:
    """Run the periodic jobs until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    context = TaskContext(
        settings=settings,
        database=Database(services.addresses.worker_url, pool_size=2, application_name="ignite-scheduler"),
        storage=open_storage(settings),
        jobs=JobQueue(make_broker(services.addresses.broker_url)),
    )
    await verify_storage(settings, context.storage)
    tracker = RunTracker()
    recorder = RunRecorder(context.database, tracker, PERIODIC_JOBS)
    scheduler = schedule(context, tracker)
    scheduler.start()
    log.info("scheduler started", jobs=[job.id for job in scheduler.get_jobs()])
    try:
        async with beating(tracker.none_is_stuck), asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(recorder.run())
            await stop.wait()
            recording.cancel()
    finally:
        scheduler.pause()
        await tracker.wait(STOP_SECONDS)
        scheduler.shutdown(wait=False)
        await recorder.remove()
        context.jobs.close()
        await context.database.close()
