"""Tests of a COMMIT whose answer is lost: its sender learns whether it was carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database, FixedStatement, commit_outcome
from fastapi_ignite.infra.db.commit_outcome import CommitOutcome, TransactionId, find_outcome
from fastapi_ignite.infra.services import ServiceAddresses
from support.commit_proxy import CommitProxy, Loss
from support.databases import fetch
from support.tenant_records import eventually, rows_of

ADD = text("INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:id, 'Acme', 'hobby', 'monthly')")


class LosableCommit:
    """Creates a tenant in a transaction, whose COMMIT a proxy can lose."""

    def __init__(self, proxied: Database, direct: Database, proxy: CommitProxy) -> None:
        self.proxied = proxied
        self.proxy = proxy
        self._direct = direct
        self.tenant_id = new_id()

    async def write(self) -> None:
        """Create the tenant through the proxy."""
        async with self.proxied.tenant(self.tenant_id) as session:
            await session.execute(ADD, {"id": self.tenant_id})

    async def written(self) -> bool:
        """Return whether the tenant exists."""
        return len(await rows_of(self._direct, self.tenant_id, "SELECT 1 FROM tenants")) == 1


@pytest.fixture
async def losable_commit(addresses: ServiceAddresses, database: Database) -> AsyncGenerator[LosableCommit]:
    async with CommitProxy(addresses.api_url) as proxy:
        proxied = Database(proxy.url(), pool_size=2)
        yield LosableCommit(proxied, database, proxy)
        await proxied.close()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_outcome, "PATIENCE_SECONDS", 0.3)


async def test_a_transaction_that_committed_is_no_error(losable_commit: LosableCommit) -> None:
    losable_commit.proxy.lose(Loss.ANSWER)
    await losable_commit.write()
    assert (losable_commit.proxy.lost, await losable_commit.written()) == (1, True)


async def test_one_that_the_server_never_had_is_an_error(losable_commit: LosableCommit) -> None:
    losable_commit.proxy.lose(Loss.COMMIT)
    with pytest.raises(DBAPIError):
        await losable_commit.write()
    assert (losable_commit.proxy.lost, await losable_commit.written()) == (1, False)


@pytest.mark.usefixtures("short_patience")
async def test_one_of_a_server_that_is_away_is_unknown(losable_commit: LosableCommit) -> None:
    losable_commit.proxy.lose(Loss.ANSWER_AND_SERVER)
    with pytest.raises(CommitOutcomeUnknownError) as told:
        await losable_commit.write()
    assert int(told.value.headers["Retry-After"]) > 0
    assert await losable_commit.written()


async def test_one_that_only_read_has_read(losable_commit: LosableCommit) -> None:
    losable_commit.proxy.lose(Loss.ANSWER)
    async with losable_commit.proxied.tenant(losable_commit.tenant_id) as session:
        assert await session.scalar(text("SELECT 7")) == 7
    assert losable_commit.proxy.lost == 1


async def test_a_write_without_a_session_is_refused(losable_commit: LosableCommit) -> None:
    values = {"id": losable_commit.tenant_id}
    with pytest.raises(ValueError, match="only takes a SELECT"):
        await losable_commit.proxied.read(losable_commit.tenant_id, FixedStatement(f"{ADD.text} RETURNING id"), values)
    assert not await losable_commit.written()


async def test_a_cancellation_during_it_comes_afterwards(losable_commit: LosableCommit) -> None:
    """The block ends as committed, so that no code after it treats the transaction as undone."""
    reached = []

    async def work() -> None:
        await losable_commit.write()
        reached.append("after the commit")
        await asyncio.sleep(0)
        reached.append("after the next wait")

    losable_commit.proxy.lose(Loss.SILENCE)
    task = asyncio.create_task(work())
    await eventually(losable_commit.written)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == ["after the commit"]


async def test_a_refused_commit_leaves_a_usable_connection(addresses: ServiceAddresses, database: Database) -> None:
    """A statement of the transaction has failed before, and the caller ignored that error."""
    single = Database(addresses.api_url, pool_size=1)
    tenant_id = new_id()

    async def ignore_an_error() -> None:
        async with single.tenant(tenant_id) as session:
            await session.execute(ADD, {"id": tenant_id})
            connection = await session.connection()
            with pytest.raises(DBAPIError):
                await connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(DBAPIError):
        await ignore_an_error()
    async with single.tenant(tenant_id) as session:
        assert await session.scalar(text("SELECT current_user::text")) == "ignite_tenant"
    assert await rows_of(database, tenant_id, "SELECT 1 FROM tenants") == []
    await single.close()


class TestTheLookUp:
    """These tests check that the look-up never confuses another transaction with the one that it asks about."""

    @pytest.fixture
    async def committed(self, database: Database) -> TransactionId:
        tenant_id = new_id()
        async with database.tenant(tenant_id) as session:
            await session.execute(ADD, {"id": tenant_id})
            row = (await session.execute(text(commit_outcome.IDENTIFY))).one()
        return TransactionId(row.id, row.asked_at, row.timeline)

    async def test_it_finds_one_that_committed(self, database: Database, committed: TransactionId) -> None:
        assert await find_outcome(database.engine, committed) is CommitOutcome.COMMITTED

    @pytest.mark.usefixtures("short_patience")
    async def test_after_a_crash_an_id_may_be_another_ones(
        self, database: Database, committed: TransactionId, addresses: ServiceAddresses
    ) -> None:
        """A crash resets the statistics, and the ids of lost transactions are given out again."""
        await fetch(addresses.owner_url, "SELECT pg_stat_reset_shared('wal')")
        assert await find_outcome(database.engine, committed) is CommitOutcome.UNKNOWN
        later = replace(committed, asked_at=clock.now())
        assert await find_outcome(database.engine, later) is CommitOutcome.COMMITTED

    @pytest.mark.usefixtures("short_patience")
    async def test_so_may_it_on_a_standby_that_took_over(self, database: Database, committed: TransactionId) -> None:
        elsewhere = replace(committed, timeline="00000009")
        assert await find_outcome(database.engine, elsewhere) is CommitOutcome.UNKNOWN

    async def test_an_id_that_was_never_given_out_was_lost(self, database: Database, committed: TransactionId) -> None:
        lost = replace(committed, id=str(int(committed.id) + 10**6))
        assert await find_outcome(database.engine, lost) is CommitOutcome.ROLLED_BACK

    @pytest.mark.usefixtures("short_patience")
    async def test_one_at_work_is_waited_for(self, database: Database) -> None:
        tenant_id: UUID = new_id()
        async with database.tenant(tenant_id) as session:
            await session.execute(ADD, {"id": tenant_id})
            row = (await session.execute(text(commit_outcome.IDENTIFY))).one()
            running = TransactionId(row.id, row.asked_at, row.timeline)
            assert await find_outcome(database.engine, running) is CommitOutcome.UNKNOWN
            await session.rollback()
        assert await find_outcome(database.engine, running) is CommitOutcome.ROLLED_BACK
