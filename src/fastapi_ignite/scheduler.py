"""Periodic work, in a process of its own: finding what was lost, and ending what has expired."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency.store import remove_expired
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.services import Services
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.jobs import DELETE_FILE, PROCESS_FILE, SHARPEN
from fastapi_ignite.ingestion.models import FileState
from fastapi_ignite.ingestion.repository import take_lost
from fastapi_ignite.query.repository import fail_abandoned
from fastapi_ignite.query.service import RESERVATION_LIFETIME
from fastapi_ignite.usage.repository import release_expired

SWEEP_SECONDS = 5
CLEAN_SECONDS = 300
log = structlog.get_logger(__name__)


class Sweeper:
    """Finds lost work. Every function may run at any time, any number of times, in any number of processes."""

    def __init__(self, database: Database, jobs: JobQueue, storage: LocalStorage) -> None:
        self._database = database
        self._jobs = jobs
        self._storage = storage

    async def find_lost_files(self) -> int:
        """Send a message for every file whose worker died or whose message was lost; returns how many."""
        async with self._database.system() as session:
            lost = await take_lost(session, now=clock.now())
        for file in lost:
            job = DELETE_FILE if file.state == FileState.DELETING else PROCESS_FILE
            await self._jobs.send(job, str(file.tenant_id), str(file.id))
        if lost:
            log.info("lost files found", count=len(lost))
        return len(lost)

    async def end_expired(self) -> None:
        """Free units and questions whose process died."""
        now = clock.now()
        async with self._database.system() as session:
            await fail_abandoned(session, before=now - RESERVATION_LIFETIME)
            await release_expired(session, now=now)

    async def resume_embedding(self) -> None:
        """Wake a worker that may have missed the message."""
        await self._jobs.send(SHARPEN)

    async def clean(self) -> None:
        """Drop what nobody needs any more."""
        async with self._database.system() as session:
            await remove_expired(session)
        await asyncio.to_thread(self._storage.remove_abandoned)


def schedule(sweeper: Sweeper) -> AsyncIOScheduler:
    """A run that comes late still runs, once; a run never overlaps itself."""
    scheduler = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    start = clock.now() + timedelta(seconds=1)
    for job, seconds in (
        (sweeper.find_lost_files, SWEEP_SECONDS),
        (sweeper.end_expired, SWEEP_SECONDS * 2),
        (sweeper.resume_embedding, SWEEP_SECONDS * 6),
        (sweeper.clean, CLEAN_SECONDS),
    ):
        scheduler.add_job(job, "interval", seconds=seconds, id=job.__name__, next_run_time=start)
    return scheduler


async def run(settings: Settings, services: Services) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database(services.addresses.worker_url, pool_size=2, application_name="ignite-scheduler")
    jobs = JobQueue(make_broker(services.addresses.redis_url))
    scheduler = schedule(Sweeper(database, jobs, LocalStorage(settings.ignite.data_dir / "storage")))
    scheduler.start()
    log.info("scheduler started", jobs=[job.id for job in scheduler.get_jobs()])
    try:
        await stop.wait()
    finally:
        scheduler.shutdown(wait=False)
        jobs.close()
        await database.close()
