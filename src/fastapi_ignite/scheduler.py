"""Periodic work, in a process of its own: finding what was lost, and ending what has expired."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.billing.provider import make_provider
from fastapi_ignite.billing.provider_sync import ProviderSync
from fastapi_ignite.billing.scheduled_changes import ScheduledChanges
from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.exports import repository as exports
from fastapi_ignite.exports.models import ExportState
from fastapi_ignite.exports.tasks import EXPORT_TENANT, REMOVE_EXPORT
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.heartbeat import beating
from fastapi_ignite.infra.idempotency.store import remove_expired
from fastapi_ignite.infra.jobs import Job, JobQueue, make_broker
from fastapi_ignite.infra.jobs.leases import StalledJob
from fastapi_ignite.infra.periodic_runs import expect_runs, forget_runs, record_successes
from fastapi_ignite.infra.services import Services
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion import repository as files
from fastapi_ignite.ingestion.models import FileState
from fastapi_ignite.ingestion.storage_sweep import StorageSweep
from fastapi_ignite.ingestion.tasks import BACKFILL_EMBEDDINGS, DELETE_FILE, PROCESS_FILE, REBUILD, RECONCILE
from fastapi_ignite.ingestion.upload_reservation import end_expired_uploads
from fastapi_ignite.query.models import RESERVATION_LIFETIME
from fastapi_ignite.query.repository import fail_abandoned
from fastapi_ignite.rag.engines import any_damaged
from fastapi_ignite.usage.repository import release_expired
from fastapi_ignite.usage.tasks import ROLL_UP

STOP_SECONDS = 4  # an idle stack ends within five
# of idempotency keys that are over: so many a transaction, and as many as a thousand requests a second leave in a run
KEYS_A_BATCH, MOST_BATCHES = 5000, 60
# a job that has not succeeded for three intervals is overdue, but none before a minute
INTERVALS_OF_PATIENCE, LEAST_PATIENCE = 3, timedelta(minutes=1)
# a run that takes longer is stuck; it may take its patience where that is more
LEAST_STUCK = timedelta(minutes=10)
RECORD_SECONDS = 15
DAY = 86_400
log = structlog.get_logger(__name__)


class Sweeper:
    """Finds lost work. Every function may run at any time, any number of times, in any number of processes."""

    def __init__(
        self, database: Database, jobs: JobQueue, storage: LocalStorage, accounts: ProviderSync | None = None
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._storage = storage
        self._accounts = accounts

    async def find_lost_files(self) -> int:
        """Tell a worker again of files whose worker died or whose message was lost."""
        queue_empty = not await self._jobs.backlog(PROCESS_FILE)  # unknown counts as empty
        async with self._database.system() as session:
            lost = await files.claim_stalled(session, now=clock.now(), queue_empty=queue_empty)
        await self._send([(DELETE_FILE if file.state == FileState.DELETING else PROCESS_FILE, file) for file in lost])
        return len(lost)

    async def find_lost_exports(self) -> int:
        """Tell a worker again of exports whose worker died or whose message was lost."""
        queue_empty = not await self._jobs.backlog(EXPORT_TENANT)
        async with self._database.system() as session:
            lost = await exports.claim_stalled(session, now=clock.now(), queue_empty=queue_empty)
        await self._send([(REMOVE_EXPORT if job.state == ExportState.EXPIRED else EXPORT_TENANT, job) for job in lost])
        return len(lost)

    async def _send(self, lost: Sequence[tuple[Job, StalledJob]]) -> None:
        if lost:
            log.info("lost work found", count=len(lost))
        for job, row in lost:
            if not await self._jobs.send(job, str(row.tenant_id), str(row.id)):
                return  # the broker is away: what is left is lost again, and found again

    async def resume_embedding(self) -> None:
        """Tell a worker to embed what waits, in case it missed the message."""
        if not await self._jobs.backlog(BACKFILL_EMBEDDINGS):
            await self._jobs.send(BACKFILL_EMBEDDINGS)

    async def end_expired(self) -> None:
        """Free units, questions, and room for uploads whose process died."""
        now = clock.now()
        async with self._database.system() as session:
            await fail_abandoned(session, before=now - RESERVATION_LIFETIME)
            await release_expired(session, now=now)
            await end_expired_uploads(session, now=now)

    async def expire_exports(self) -> None:
        """Hide exports whose seven days are over, and have them removed."""
        async with self._database.system() as session:
            expired = await exports.claim_expired(session, now=clock.now())
        for export in expired:
            if not await self._jobs.send(REMOVE_EXPORT, str(export.tenant_id), str(export.id)):
                return

    async def clean(self) -> None:
        """Drop idempotency keys that are over and uploads that a crash cut off."""
        for _ in range(MOST_BATCHES):
            async with self._database.system() as session:
                removed = await remove_expired(session, limit=KEYS_A_BATCH)
            if removed < KEYS_A_BATCH:
                break
        await asyncio.to_thread(self._storage.remove_abandoned)

    async def sweep_storage(self) -> None:
        """Make stored objects and the rows that name them agree."""
        await StorageSweep(self._database, self._storage, exports.named_keys).run()

    async def turn_over_subscriptions(self) -> None:
        """Write down the plan changes whose day has come."""
        await ScheduledChanges(self._database).run()

    async def sync_billing(self) -> None:
        """Tell the billing provider what changed, and note who has not paid."""
        if self._accounts:
            await self._accounts.run()

    async def roll_up_usage(self) -> None:
        """Have the days of usage summed up to months."""
        await self._jobs.send(ROLL_UP)

    async def rebuild_indexes(self) -> None:
        """Have indexes made again that a provider lost."""
        async with self._database.system() as session:
            damaged = await any_damaged(session)
        if damaged and not await self._jobs.backlog(REBUILD):
            await self._jobs.send(REBUILD)

    async def reconcile(self) -> None:
        """Have orphans at providers removed."""
        await self._jobs.send(RECONCILE)


@dataclass(frozen=True, slots=True)
class Periodic:
    """A method of the sweeper and when it runs; it also runs once when a scheduler starts."""

    name: str
    interval: str
    trigger: BaseTrigger
    seconds: int

    @property
    def purpose(self) -> str:
        """What it does."""
        return (getattr(Sweeper, self.name).__doc__ or "").partition("\n")[0]

    @property
    def patience(self) -> timedelta:
        """How long after a success the next one has to come."""
        return max(INTERVALS_OF_PATIENCE * timedelta(seconds=self.seconds), LEAST_PATIENCE)

    def next_run(self) -> datetime:
        """By the clock, for a scheduler that starts now."""
        following: datetime = self.trigger.get_next_fire_time(None, clock.now())
        return following


def _every(name: str, seconds: int) -> Periodic:
    return Periodic(name, f"{seconds} s", IntervalTrigger(seconds=seconds, timezone="UTC"), seconds)


PERIODIC = (
    _every("find_lost_files", 5),
    _every("find_lost_exports", 5),
    _every("end_expired", 10),
    _every("rebuild_indexes", 10),
    _every("resume_embedding", 30),
    _every("turn_over_subscriptions", 60),
    _every("sync_billing", 60),
    _every("clean", 300),
    _every("sweep_storage", 300),
    _every("expire_exports", 300),
    Periodic("roll_up_usage", "daily, 00:20", CronTrigger(hour=0, minute=20, timezone="UTC"), DAY),
    _every("reconcile", 3600),
)


class Running:
    """The runs under way, so that a scheduler that stops can let them end (APScheduler would cancel them), and when
    each job last succeeded.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], tuple[Periodic, float]] = {}
        self._succeeded: dict[str, float] = {}

    def watch(self, periodic: Periodic, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """Return the job made known while it runs and after it has succeeded.

        When it fails it leaves a line in the log and runs again in turn.
        """

        async def run() -> None:
            task = asyncio.current_task()
            if task is not None:
                self._tasks[task] = (periodic, time.monotonic())
            try:
                await job()
                self._succeeded[periodic.name] = time.monotonic()
            except Exception:  # APScheduler would log each one with its traceback
                log.exception("periodic job failed", job=periodic.name)
            finally:
                if task is not None:
                    del self._tasks[task]

        return run

    def are_moving(self) -> bool:
        """False when a run has been under way for so long that it will never end, and its job never run again."""
        now = time.monotonic()
        return all(
            now - began < max(periodic.patience, LEAST_STUCK).total_seconds()
            for periodic, began in self._tasks.values()
        )

    def ages(self) -> dict[str, timedelta]:
        """How long ago each job last succeeded, those left out that never did."""
        now = time.monotonic()
        return {name: timedelta(seconds=now - succeeded) for name, succeeded in self._succeeded.items()}

    async def wait(self, seconds: float) -> None:
        """Until all have ended, or the time is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)


def schedule(sweeper: Sweeper, running: Running) -> AsyncIOScheduler:
    """A run that comes late still runs, once; a run never overlaps itself."""
    scheduler = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    start = clock.now() + timedelta(seconds=1)
    for job in PERIODIC:
        run = running.watch(job, getattr(sweeper, job.name))
        scheduler.add_job(run, job.trigger, id=job.name, next_run_time=start)
    return scheduler


class SuccessRecord:
    """Writes to the database which jobs succeeded, for `health/ready` to read. What fails is tried again."""

    def __init__(self, database: Database, running: Running) -> None:
        self._database = database
        self._running = running
        self._patience = {job.name: job.patience for job in PERIODIC}

    async def keep(self) -> None:
        """Until it is cancelled."""
        expected = False
        while True:
            try:
                async with self._database.system() as session:
                    if not expected:
                        await expect_runs(session, self._patience)
                    await record_successes(session, self._running.ages(), self._patience)
                expected = True
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.debug("successes not recorded", error=type(error).__name__)
            await asyncio.sleep(RECORD_SECONDS)

    async def remove(self) -> None:
        """Say that this scheduler stops in order."""
        try:
            async with asyncio.timeout(STOP_SECONDS), self._database.system() as session:
                await forget_runs(session, self._patience)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.debug("successes not removed", error=type(error).__name__)


async def run(settings: Settings, services: Services) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database(services.addresses.worker_url, pool_size=2, application_name="ignite-scheduler")
    jobs = JobQueue(make_broker(services.addresses.broker_url))
    running = Running()
    record = SuccessRecord(database, running)
    accounts = ProviderSync(database, make_provider(settings), grace_days=settings.billing.grace_days)
    storage = LocalStorage(settings.ignite.data_dir / "storage")
    scheduler = schedule(Sweeper(database, jobs, storage, accounts), running)
    scheduler.start()
    log.info("scheduler started", jobs=[job.id for job in scheduler.get_jobs()])
    try:
        async with beating(running.are_moving), asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(record.keep())
            await stop.wait()
            recording.cancel()
    finally:
        scheduler.pause()
        await running.wait(STOP_SECONDS)
        scheduler.shutdown(wait=False)
        await record.remove()
        jobs.close()
        await database.close()
