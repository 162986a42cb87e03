"""Tests that a message belongs to a transaction: it is sent after the COMMIT, and never after a rollback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database, after_commit, commit_outcome
from fastapi_ignite.infra.jobs import Job, JobQueue, Priority, leases, make_broker
from fastapi_ignite.infra.jobs.leases import StaleAttemptError, keep_lease
from fastapi_ignite.infra.services import ServiceAddresses
from support.commit_proxy import CommitProxy, Loss
from support.tenant_records import eventually, rows_of

ADD = text("INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:id, 'Acme', 'hobby', 'monthly')")


async def nothing(*_: object) -> None:
    """Do nothing. No worker runs this job."""


class Sender:
    """Runs transactions that each write a tenant and send a message about it."""

    def __init__(self, database: Database, direct: Database, jobs: JobQueue) -> None:
        self.database = database
        self.jobs = jobs
        self.job = Job("test.nothing", f"queue_{new_id().hex}", Priority.BULK, nothing)
        self._direct = direct

    async def write(self, session: AsyncSession, tenant_id: UUID) -> None:
        await session.execute(ADD, {"id": tenant_id})
        self.jobs.enqueue(session, self.job, tenant_id)

    async def commit(self, tenant_id: UUID) -> None:
        async with self.database.tenant(tenant_id) as session:
            await self.write(session, tenant_id)

    async def is_written(self, tenant_id: UUID) -> bool:
        """Return whether another connection sees the row."""
        return len(await rows_of(self._direct, tenant_id, "SELECT 1 FROM tenants")) == 1

    async def sent(self) -> int | None:
        return await self.jobs.backlog(self.job)


@pytest.fixture
def jobs(addresses: ServiceAddresses) -> Iterator[JobQueue]:
    queue = JobQueue(make_broker(addresses.redis_url))
    yield queue
    queue.close()


@pytest.fixture
def sender(database: Database, jobs: JobQueue) -> Sender:
    return Sender(database, database, jobs)


@pytest.fixture
async def proxy(addresses: ServiceAddresses, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[CommitProxy]:
    monkeypatch.setattr(commit_outcome, "PATIENCE_SECONDS", 0.3)
    async with CommitProxy(addresses.api_url) as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: CommitProxy, database: Database, jobs: JobQueue) -> AsyncGenerator[Sender]:
    through = Database(proxy.url(), pool_size=2)
    yield Sender(through, database, jobs)
    await through.close()


async def test_a_commit_sends_each_message_once_and_nothing_before(sender: Sender) -> None:
    tenant_id = new_id()
    async with sender.database.tenant(tenant_id) as session:
        await sender.write(session, tenant_id)
        sender.jobs.enqueue(session, sender.job, tenant_id)
        await session.flush()
        assert await sender.sent() == 0
    assert await sender.sent() == 2


async def test_whoever_gets_a_message_sees_its_row(sender: Sender, addresses: ServiceAddresses) -> None:
    consumer = make_broker(addresses.redis_url).consume(sender.job.queue, timeout=10)
    for _ in range(20):
        committing = asyncio.create_task(sender.commit(new_id()))
        while (message := await asyncio.to_thread(next, consumer)) is None:
            pass
        assert await sender.is_written(UUID(message.args[0]))
        consumer.ack(message)
        await committing
    consumer.close()


async def test_a_rollback_sends_nothing(sender: Sender) -> None:
    tenant_id = new_id()

    async def fail() -> None:
        async with sender.database.tenant(tenant_id) as session:
            await sender.write(session, tenant_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with sender.database.tenant(tenant_id) as session:
        await sender.write(session, tenant_id)
        await session.rollback()
    assert (await sender.sent(), await sender.is_written(tenant_id)) == (0, False)


async def test_a_commit_that_the_database_refuses_sends_nothing(sender: Sender) -> None:
    tenant_id = new_id()

    async def fail_late() -> None:
        async with sender.database.tenant(tenant_id) as session:
            await sender.write(session, tenant_id)
            connection = await session.connection()
            with pytest.raises(DBAPIError):
                await connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(DBAPIError):
        await fail_late()
    assert (await sender.sent(), await sender.is_written(tenant_id)) == (0, False)


async def test_a_commit_without_an_answer_sends_when_it_was_carried_out(proxied: Sender, proxy: CommitProxy) -> None:
    tenant_id = new_id()
    proxy.lose(Loss.ANSWER)
    await proxied.commit(tenant_id)
    assert (proxy.lost, await proxied.sent(), await proxied.is_written(tenant_id)) == (1, 1, True)


@pytest.mark.parametrize(
    ("loss", "error"), [(Loss.COMMIT, DBAPIError), (Loss.ANSWER_AND_SERVER, CommitOutcomeUnknownError)]
)
async def test_a_commit_of_which_nobody_knows_sends_nothing(
    proxied: Sender, proxy: CommitProxy, loss: Loss, error: type[Exception]
) -> None:
    proxy.lose(loss)
    with pytest.raises(error):
        await proxied.commit(new_id())
    assert (proxy.lost, await proxied.sent()) == (1, 0)


async def test_a_broker_that_is_away_fails_no_transaction(database: Database) -> None:
    jobs = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    sender, tenant_id = Sender(database, database, jobs), new_id()
    await sender.commit(tenant_id)
    assert await sender.is_written(tenant_id)
    jobs.close()


async def test_a_cancellation_while_a_message_is_sent_comes_after_the_block(
    database: Database, silent_server: int
) -> None:
    """Otherwise, code that undoes its work after an error would undo committed work."""
    sender = Sender(database, database, JobQueue(make_broker(f"redis://127.0.0.1:{silent_server}/0")))
    tenant_id, reached = new_id(), []

    async def work() -> None:
        await sender.commit(tenant_id)
        reached.append("after the block")
        await asyncio.sleep(0)
        reached.append("after the next wait")

    task = asyncio.create_task(work())
    await eventually(lambda: sender.is_written(tenant_id))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == ["after the block"]


async def test_an_action_that_fails_reaches_nobody(database: Database) -> None:
    done: list[int] = []

    async def fail(_: object) -> None:
        raise ZeroDivisionError

    async def note(items: object) -> None:
        done.extend(items)  # type: ignore[arg-type]  # the items are the numbers below

    async with database.tenant(None) as session:
        after_commit(session, fail, 1)
        after_commit(session, note, 2)
        after_commit(session, note, 3)
    assert done == [2, 3]


async def test_an_attempt_that_is_overtaken_while_it_sends_ends_as_stale(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE", leases.LEASE / 1000)
    overtaken = asyncio.Event()

    async def extend() -> None:
        overtaken.set()
        raise StaleAttemptError

    async def send(_: object) -> None:
        await overtaken.wait()
        await asyncio.sleep(0.05)

    async def work() -> None:
        async with keep_lease(extend), database.tenant(None) as session:
            after_commit(session, send, None)

    with pytest.raises(StaleAttemptError):
        await work()
