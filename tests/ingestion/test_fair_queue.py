"""Tests that tenants take turns in the queue, however many files one of them has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from redis.asyncio import Redis

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.fair_queue import BATCH_FILES, FairQueue
from fastapi_ignite.ingestion.tasks import process_file
from support.both_engines import of_the_local_engine
from support.databases import fetch, new_database
from support.http_clients import TenantClient, TenantFactory


@pytest.fixture
def own(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a database without files of other tests."""
    with new_database(addresses, template="template_migrated") as fresh:
        yield fresh


@pytest.fixture
async def jobs(addresses: ServiceAddresses) -> AsyncGenerator[JobQueue]:
    """Return a queue that no worker reads, on a Redis number without messages of other tests."""
    redis_url, _, number = addresses.redis_url.rpartition("/")
    own = f"{redis_url}/{8 + int(number)}"
    async with Redis.from_url(own) as redis:
        await redis.flushdb()
    queue = JobQueue(make_broker(own))
    yield queue
    queue.close()


class WaitingFiles:
    """Adds and serves files that wait in a new database, the oldest first."""

    def __init__(self, own: ServiceAddresses, database: Database, jobs: JobQueue) -> None:
        self._own = own
        self._database = database
        self._jobs = jobs
        self._names: dict[UUID, str] = {}

    async def add(self, name: str, files: int, *, byte_count: int = 1_000_000) -> None:
        """Add a tenant with this number of queued files."""
        tenant, project = new_id(), new_id()
        self._names[tenant] = name
        await self._insert("tenants (id, name, plan_id, billing_cycle)", "(:t, 'Acme', 'hobby', 'monthly')", t=tenant)
        await self._insert("projects (tenant_id, id, name)", "(:t, :p, 'Docs')", t=tenant, p=project)
        columns = "files (tenant_id, id, project_id, batch_id, filename, byte_count, sha256, state, notified_at)"
        for _ in range(files):
            values = {"t": tenant, "id": new_id(), "p": project, "bytes": byte_count}
            await self._insert(columns, "(:t, :id, :p, :id, 'a.txt', :bytes, '', 'queued', now())", **values)

    async def _insert(self, columns: str, row: str, **values: object) -> None:
        await fetch(self._own.owner_url, f"INSERT INTO {columns} VALUES {row}", **values)  # noqa: S608  this class writes it

    def queue(self, *, threads: int) -> FairQueue:
        return FairQueue(self._database, self._jobs, threads=threads)

    async def serve(self, queue: FairQueue) -> str:
        """Serve one file to its end, and return the name of its tenant, or an empty text if no file may start."""
        async with queue.next_files() as claimed:
            if claimed is None:
                return ""
            for file in claimed.files:
                await self._end(file.id)
            return self._names[claimed.files[0].tenant_id]

    async def start(self, queue: FairQueue, running: AsyncExitStack) -> str:
        """Start one file, which stays in progress until `running` is closed. Return what `serve` returns."""
        claimed = await running.enter_async_context(queue.next_files())
        return self._names[claimed.files[0].tenant_id] if claimed else ""

    async def _end(self, file_id: UUID) -> None:
        await fetch(self._own.owner_url, "UPDATE files SET state = 'failed' WHERE id = :id", id=file_id)


@pytest.fixture
async def waiting_files(own: ServiceAddresses, jobs: JobQueue) -> AsyncGenerator[WaitingFiles]:
    database = Database(own.worker_url, pool_size=2)
    yield WaitingFiles(own, database, jobs)
    await database.close()


async def test_tenants_take_turns_on_one_thread(waiting_files: WaitingFiles) -> None:
    await waiting_files.add("many", 5)
    await waiting_files.add("three", 3)
    await waiting_files.add("one", 1)
    queue = waiting_files.queue(threads=1)
    served = [await waiting_files.serve(queue) for _ in range(10)]
    assert served == ["many", "three", "one", "many", "three", "many", "three", "many", "many", ""]


async def test_small_files_are_taken_together_and_count_as_one_turn(waiting_files: WaitingFiles) -> None:
    await waiting_files.add("many", 2 * BATCH_FILES + 1, byte_count=100)
    await waiting_files.add("one", 1)
    queue = waiting_files.queue(threads=1)
    served = [await waiting_files.serve(queue) for _ in range(5)]
    assert served == ["many", "one", "many", "many", ""]


async def test_one_tenant_leaves_threads_for_another(waiting_files: WaitingFiles, jobs: JobQueue) -> None:
    await waiting_files.add("many", 9)
    queue = waiting_files.queue(threads=4)
    async with AsyncExitStack() as running:
        assert [await waiting_files.start(queue, running) for _ in range(3)] == ["many", "many", ""]
        await waiting_files.add("other", 1)
        assert [await waiting_files.start(queue, running) for _ in range(2)] == ["other", ""]
        assert await jobs.backlog(process_file) == 0
    # The messages of the files that could not start are used up, so each file of the full share has sent a new one.
    assert await jobs.backlog(process_file) == 2


async def test_a_file_that_another_worker_took_is_passed_over(waiting_files: WaitingFiles) -> None:
    await waiting_files.add("two", 2)
    here, there = waiting_files.queue(threads=4), waiting_files.queue(threads=4)
    async with AsyncExitStack() as running:
        assert [await waiting_files.start(queue, running) for queue in (here, there, here)] == ["two", "two", ""]


@of_the_local_engine  # the queue uses no engine
@pytest.mark.usefixtures("worker")
async def test_a_single_file_is_not_held_up_by_hundreds_of_another_tenant(make_tenant: TenantFactory) -> None:
    crowd, single = await make_tenant(), await make_tenant()
    files = [(f"{number}.txt", f"Note {number}.".encode()) for number in range(400)]
    await crowd.upload(await crowd.create_project(), *files, wait_seconds=0)
    project = await single.create_project()
    answer = await single.upload(project, ("guide.txt", b"The gate is closed at nine."))
    assert answer.json()["batch_status"] == "completed"
    assert await _in_progress(crowd)


async def _in_progress(tenant: TenantClient) -> int:
    """Return how many files of the tenant are in progress."""
    project, found = await tenant.create_project(), 0
    params: dict[str, str] = {}
    while True:
        page = (await tenant.get(f"/ingestion/projects/{project}/files", params=params)).json()
        found += [file["status"] for file in page["files"]].count("in_progress")
        if page["next_after"] is None:
            return found
        params["after"] = page["next_after"]
