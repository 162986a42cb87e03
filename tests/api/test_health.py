"""Tests of the readiness endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import timedelta

import httpx2
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.periodic_runs import expect_runs, forget_runs, record_successes
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.worker_presence import announce_worker
from support.http_clients import client_for

NOBODY_LISTENS = 1
RecordRun = Callable[[timedelta], Awaitable[None]]


@pytest.fixture
def no_worker(redis: Redis) -> Iterator[None]:
    redis.delete("heartbeat:worker")
    yield
    redis.delete("heartbeat:worker")


@pytest.fixture
async def record_run(database: Database) -> AsyncGenerator[RecordRun]:
    """Return a function that records how long ago the scheduler's only job last succeeded.

    The job is overdue after one minute.
    """
    patience = {"find_lost_files": timedelta(minutes=1)}

    async def succeeded(ago: timedelta) -> None:
        async with database.system() as session:
            await forget_runs(session, patience)
            await record_successes(session, {"find_lost_files": ago}, patience)

    yield succeeded
    async with database.system() as session:
        await forget_runs(session, patience)


async def test_health_and_liveness_are_static(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok", "version": "1"}
    assert (await client.get("/health/live")).json() == {"status": "alive"}


@pytest.mark.usefixtures("no_worker")
async def test_a_missing_worker_is_degraded_until_it_is_announced(
    client: httpx2.AsyncClient, state: AppState, redis: Redis, record_run: RecordRun
) -> None:
    await record_run(timedelta(seconds=5))
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "database": "ok",
        "migrations": "ok",
        "redis": "ok",
        "worker": "missing",
        "scheduler": "ok",
        "disk": "ok",
        "storage": "ok",
    }
    await announce_worker(state["redis"])
    assert (await client.get("/health/ready")).json()["status"] == "ready"
    assert 0 < int(redis.ttl("heartbeat:worker")) <= 35


class TestTheScheduler:
    @pytest.fixture(autouse=True)
    async def worker_present(self, state: AppState) -> None:
        await announce_worker(state["redis"])

    @pytest.mark.parametrize(
        ("ago", "scheduler", "status"),
        [(timedelta(seconds=30), "ok", "ready"), (timedelta(seconds=61), "hung", "degraded")],
    )
    async def test_is_hung_when_a_job_is_overdue(
        self, client: httpx2.AsyncClient, record_run: RecordRun, ago: timedelta, scheduler: str, status: str
    ) -> None:
        await record_run(ago)
        answer = await client.get("/health/ready")
        assert answer.status_code == 200
        assert (answer.json()["scheduler"], answer.json()["status"]) == (scheduler, status)

    async def test_is_missing_when_the_last_one_stopped_in_order(
        self, client: httpx2.AsyncClient, record_run: RecordRun, database: Database
    ) -> None:
        await record_run(timedelta(hours=1))
        async with database.system() as session:
            await forget_runs(session, ["find_lost_files"])
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["scheduler"], answer.json()["status"]) == (200, "missing", "degraded")

    async def test_one_that_starts_excuses_nothing_that_is_overdue(
        self, client: httpx2.AsyncClient, record_run: RecordRun, database: Database
    ) -> None:
        """A scheduler that restarts again and again may never be able to do its work, and must not look healthy."""
        await record_run(timedelta(hours=1))
        async with database.system() as session:
            await expect_runs(session, {"find_lost_files": timedelta(minutes=1)})
        assert (await client.get("/health/ready")).json()["scheduler"] == "hung"

    async def test_a_job_that_the_code_no_longer_has_is_not_waited_for(
        self, client: httpx2.AsyncClient, record_run: RecordRun, database: Database
    ) -> None:
        await record_run(timedelta(hours=1))
        async with database.system() as session:
            await expect_runs(session, {"another": timedelta(minutes=1)})
        assert (await client.get("/health/ready")).json()["scheduler"] == "ok"
        async with database.system() as session:
            await forget_runs(session, ["another"])

    async def test_the_later_success_of_two_schedulers_counts(
        self, client: httpx2.AsyncClient, record_run: RecordRun, database: Database
    ) -> None:
        await record_run(timedelta(seconds=5))
        async with database.system() as session:
            patience = {"find_lost_files": timedelta(minutes=1)}
            await record_successes(session, {"find_lost_files": timedelta(hours=1)}, patience)
        assert (await client.get("/health/ready")).json()["scheduler"] == "ok"


class TestTheDisk:
    @pytest.mark.parametrize(
        ("section", "setting", "disk", "status"),
        [("ignite", "low_disk_bytes", "low", "ready"), ("upload", "max_file_bytes", "full", "degraded")],
    )
    async def test_little_room_is_told_and_none_is_degraded(
        self,
        settings: Settings,
        state: AppState,
        record_run: RecordRun,
        section: str,
        setting: str,
        disk: str,
        status: str,
    ) -> None:
        await announce_worker(state["redis"])
        await record_run(timedelta(seconds=5))
        changed = getattr(settings, section).model_copy(update={setting: 2**60})
        narrow = settings.model_copy(update={section: changed})
        async with client_for(narrow, {**state, "settings": narrow}) as client:
            answer = await client.get("/health/ready")
        assert answer.status_code == 200
        assert (answer.json()["disk"], answer.json()["status"]) == (disk, status)


async def test_without_redis_it_is_degraded(settings: Settings, state: AppState) -> None:
    away = AsyncRedis(host="127.0.0.1", port=NOBODY_LISTENS, socket_connect_timeout=0.2)
    async with client_for(settings, {**state, "redis": away}) as client:
        answer = await client.get("/health/ready")
    await away.aclose()
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["redis"]) == ("degraded", "down")


async def test_without_the_database_it_is_unavailable(
    settings: Settings, state: AppState, addresses: ServiceAddresses
) -> None:
    database = Database(addresses.api_url.set(port=NOBODY_LISTENS), pool_size=1)
    async with client_for(settings, {**state, "database": database}) as client:
        answer = await client.get("/health/ready")
    await database.close()
    assert answer.status_code == 503
    assert answer.json()["database"] == "down"


class TestTheSchema:
    """In these tests, the process knows other revisions than the database, which is at the head of this code."""

    async def ready(self, settings: Settings, state: AppState, schema: SchemaHistory) -> httpx2.Response:
        async with client_for(settings, {**state, "schema": schema}) as client:
            return await client.get("/health/ready")

    async def test_one_that_lacks_what_the_code_needs_is_unavailable(self, settings: Settings, state: AppState) -> None:
        known = state["schema"]
        tomorrow = SchemaHistory("of_tomorrow", known.revisions | {"of_tomorrow"})
        answer = await self.ready(settings, state, tomorrow)
        assert answer.status_code == 503
        assert (answer.json()["status"], answer.json()["migrations"]) == ("unavailable", "behind")

    async def test_one_that_newer_code_has_migrated_is_ready(
        self, settings: Settings, state: AppState, record_run: RecordRun
    ) -> None:
        """In a rolling deploy, the old replicas still serve after the migration has run."""
        await announce_worker(state["redis"])
        await record_run(timedelta(seconds=5))
        known = state["schema"]
        yesterday = SchemaHistory("of_yesterday", known.revisions - {known.head or ""} | {"of_yesterday"})
        answer = await self.ready(settings, state, yesterday)
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["migrations"]) == ("ready", "ahead")

    def test_a_database_without_a_schema_is_behind(self, state: AppState) -> None:
        assert state["schema"].state_of(None) == "behind"
