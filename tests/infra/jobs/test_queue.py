"""Tests that a sent job arrives, and that a broker that is unreachable or silent delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.jobs import Job, JobQueue, Priority, make_broker
from fastapi_ignite.infra.services import ServiceAddresses

SCHEMES = ("redis", "amqp")


async def nothing(*_: object) -> None:
    """Do nothing. No worker runs this job."""


@pytest.fixture
def job() -> Job:
    """Return a job that only this test uses and that no worker knows."""
    return Job("test.nothing", f"queue_{new_id().hex}", Priority.BULK, nothing)


@pytest.fixture
def jobs(addresses: ServiceAddresses) -> Iterator[JobQueue]:
    queue = JobQueue(make_broker(addresses.redis_url))
    yield queue
    queue.close()


async def test_the_backlog_is_what_was_sent_and_not_fetched(
    jobs: JobQueue, job: Job, addresses: ServiceAddresses
) -> None:
    assert await jobs.backlog(job) == 0
    for _ in range(3):
        assert await jobs.send(job)
    assert await jobs.backlog(job) == 3
    worker = make_broker(addresses.redis_url)
    assert next(worker.consume(job.queue, prefetch=2)) is not None
    assert await jobs.backlog(job) == 1
    worker.close()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_broker_that_is_away_is_told_and_not_raised(scheme: str, job: Job) -> None:
    jobs = JobQueue(make_broker(f"{scheme}://127.0.0.1:1/0"))
    assert await jobs.send(job) is False
    assert await jobs.backlog(job) is None
    jobs.close()
    assert await jobs.send(job) is False
    jobs.close()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_event_loop_goes_on_while_a_broker_is_silent(scheme: str, job: Job, silent_server: int) -> None:
    jobs = JobQueue(make_broker(f"{scheme}://127.0.0.1:{silent_server}/0"))
    sending = asyncio.create_task(jobs.send(job))
    turns = 0
    while not sending.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert sending.result() is False
    assert turns > 5


async def test_while_one_call_is_without_an_answer_no_other_waits(job: Job, silent_server: int) -> None:
    """The Redis client tries twice, so its thread is still busy with the first call for some time."""
    jobs = JobQueue(make_broker(f"redis://127.0.0.1:{silent_server}/0"))
    assert await jobs.send(job) is False
    async with asyncio.timeout(5):
        assert [await jobs.send(job) for _ in range(100)] == [False] * 100
        assert await jobs.backlog(job) is None
