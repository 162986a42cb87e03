"""Tests of API, worker and scheduler while Redis and PostgreSQL are unreachable: their logs and their recovery."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext, make_broker
from fastapi_ignite.infra.jobs.run_tracker import RunTracker
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.tasks import PERIODIC_JOBS
from fastapi_ignite.usage.tasks import roll_up
from infra.cache.flaky_redis import FlakyRedis, refused_url
from support.both_engines import ENGINES
from support.command_line import CommandLine, open_folder
from support.databases import fetch, new_database
from support.http_clients import TenantClient, client_for
from support.outages import LogText, logged
from support.tenant_records import eventually

pytestmark = pytest.mark.slow

AWAY_SECONDS = 4  # Dramatiq connects every three seconds
JOBS = 5
# These jobs only send a message. If that fails, they log nothing themselves.
BROKER_JOBS = {"resume_embedding", "check_indexes", "roll_up_usage", "reconcile", "sync_billing"}
if "openai" not in ENGINES:
    BROKER_JOBS.add("rebuild_indexes")  # only that engine can lose an index


class Process:
    """Runs a process of the program, and reads its log."""

    def __init__(self, commands: CommandLine, *arguments: str) -> None:
        self._log = commands.folder / f"{arguments[0]}.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  runs our own program
                commands.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=commands.folder,
                env=commands.environment,
            )

    def log(self, *, after: LogText | None = None) -> LogText:
        """Return what the process has logged, without the lines of an earlier log."""
        return LogText(self._log.read_text().removeprefix(after.text if after else ""))

    async def wait_for(self, words: str, *, times: int = 1, after: LogText | None = None) -> None:
        """Wait until the log has these words this many times."""

        async def said() -> bool:
            assert self._process.poll() is None, self.log().text
            return self.log(after=after).text.count(words) >= times

        await eventually(said)

    def stop(self) -> None:
        """Stop the process with SIGTERM, as `up` does, and kill it if it does not end."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def own(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a database that can be closed without an effect on other tests."""
    with new_database(addresses, template="template_migrated") as made:
        yield made


@asynccontextmanager
async def closed(own: ServiceAddresses) -> AsyncGenerator[None]:
    """End the sessions of the database, and refuse new ones."""
    server, name = own.owner_url.set(database="postgres"), own.owner_url.database
    await fetch(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await fetch(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name", name=name)
    try:
        yield
    finally:
        await fetch(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def test_a_worker_says_once_that_redis_is_away_and_goes_on_afterwards(
    folder: Path, own: ServiceAddresses
) -> None:
    commands = CommandLine.on_servers(folder, own)
    direct = commands.environment["REDIS_URL"]
    jobs = JobQueue(make_broker(direct))
    async with FlakyRedis(direct) as redis:
        commands.environment |= {"REDIS_URL": redis.url, "DRAMATIQ_PROCESSES": "1", "DRAMATIQ_THREADS": "2"}
        worker = Process(commands, "worker")
        try:
            await jobs.send(roll_up)
            await worker.wait_for("outcome=done")

            before = worker.log()
            await redis.cut()
            await asyncio.sleep(AWAY_SECONDS)
            meanwhile = worker.log(after=before)
            await redis.restore()
            await worker.wait_for("job broker back")
            assert [line for line in meanwhile.lines if "job broker away" not in line] == []
            assert len(meanwhile.lines) == 1

            before = worker.log()
            async with closed(own):
                for _ in range(JOBS):
                    await jobs.send(roll_up)
                await worker.wait_for("outcome=failed", times=JOBS, after=before)
                meanwhile = worker.log(after=before)
            assert len(meanwhile.failures()) == JOBS
            assert meanwhile.tracebacks == len(meanwhile.outages) >= 1, meanwhile.text

            before = worker.log()
            await jobs.send(roll_up)
            await worker.wait_for("outcome=done", after=before)
        finally:
            worker.stop()
            jobs.close()


async def test_the_api_says_so_once_however_many_requests_come(
    settings: Settings, state: AppState, tenant: TenantClient
) -> None:
    """The rate limiter logs one line, and the job queue one."""
    url = refused_url()
    jobs, redis = JobQueue(make_broker(url)), Redis.from_url(url)
    project = await tenant.create_project()
    cut_off: AppState = {**state, "redis": redis, "limiter": RateLimiter(redis), "jobs": jobs}
    async with client_for(settings, cut_off) as http:
        caller = TenantClient(tenant.id, http, tenant.headers)
        with logged(settings) as log:
            for number in range(10):
                answer = await caller.upload(project, (f"{number}.txt", b"Text."), wait_seconds=0)
                assert answer.is_success
                assert (await caller.get("/limits/current")).is_success
    jobs.close()
    await redis.aclose()
    assert sorted(line.split("]")[1].split("[")[0].strip() for line in log.failures()) == [
        "job broker away",
        "rate limit without redis",
    ]


async def test_a_scheduler_says_in_one_line_what_failed(own: ServiceAddresses, settings: Settings) -> None:
    number = own.redis_url
    database = Database(own.worker_url, pool_size=2)
    async with FlakyRedis(number) as redis:
        jobs = JobQueue(make_broker(redis.url))
        context = TaskContext(
            settings=settings, database=database, storage=LocalStorage(settings.ignite.data_dir / "storage"), jobs=jobs
        )
        tracker = RunTracker()
        every_job = [tracker.track(job, partial(job.run, context)) for job in PERIODIC_JOBS]
        with logged(settings) as log:
            async with closed(own):
                await redis.cut()
                for job in (*every_job, *every_job):
                    await job()
        jobs.close()
    await database.close()
    failed = [line for line in log.failures() if "periodic job failed" in line]
    away = [line for line in log.failures() if "job broker away" in line]
    assert len(failed) == 2 * len([job for job in PERIODIC_JOBS if job.name not in BROKER_JOBS])
    assert len(away) == 1
    assert log.failures() == sorted([*failed, *away])
    assert log.tracebacks == len(log.outages) >= 1, log.text
