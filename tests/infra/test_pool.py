"""Tests of pooled connections: nothing of a transaction is left for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.outages import Outage, outage_of
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.infra.services import ServiceAddresses
from support.databases import fetch
from support.tenant_records import eventually

PID = text("SELECT pg_backend_pid()")
WHO = text("SELECT current_user::text, current_setting('app.tenant_id', true), pg_backend_pid()")


@pytest.fixture
async def single(addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """Return a database of the API's login with one connection, which all transactions get in turn."""
    database = Database(addresses.api_url, pool_size=1)
    yield database
    await database.close()


async def identity_without_role(database: Database) -> tuple[object, ...]:
    """Return the user, the tenant and the process of a session that has taken no role."""
    async with database.engine.connect() as connection:
        return tuple((await connection.execute(WHO)).one())


async def test_those_whose_server_went_away_are_not_handed_out_again(addresses: ServiceAddresses) -> None:
    """The pool does not ask the server before each transaction."""
    database = Database(addresses.worker_url, pool_size=3)
    try:
        async with database.tenant(None) as one, database.tenant(None) as two, database.tenant(None) as three:
            ended = [await session.scalar(PID) for session in (one, two, three)]
        await fetch(
            addresses.owner_url, "SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) pid", pids=ended
        )

        async def gone() -> bool:
            statement = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(CAST(:pids AS int[]))"
            return await fetch(addresses.owner_url, statement, pids=ended) == [(0,)]

        await eventually(gone)
        async with database.tenant(None) as one, database.tenant(None) as two, database.tenant(None) as three:
            fresh = [await session.scalar(PID) for session in (one, two, three)]
        assert not set(fresh) & set(ended)
    finally:
        await database.close()


async def test_single_queries_of_sessions_that_end_fail_as_in_an_outage(addresses: ServiceAddresses) -> None:
    """The driver reports it in several ways, depending on what it has read when the query comes."""
    database = Database(addresses.api_url, pool_size=4, application_name="ending")
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ending'"
    failures: list[BaseException] = []

    async def read_until(done: asyncio.Event, number: int) -> None:
        statement = FixedStatement(f"SELECT {number} + 0 * CAST(:ended AS int) AS number")
        while not done.is_set():
            try:
                await database.read(None, statement, {"ended": 1})
            except Exception as error:  # noqa: BLE001  # the type is what the test is about
                failures.append(error)

    for round_ in range(15):
        done = asyncio.Event()
        reading = [asyncio.create_task(read_until(done, 10 * round_ + number)) for number in range(4)]
        for _ in range(4):
            await fetch(addresses.owner_url, end)
        done.set()
        await asyncio.gather(*reading)
    await database.close()
    assert failures
    assert [error for error in failures if outage_of(error) is None] == []


async def test_a_single_query_goes_on_when_a_migration_changes_its_table(
    addresses: ServiceAddresses, single: Database
) -> None:
    owner = addresses.owner_url
    await fetch(owner, "CREATE TABLE changing AS SELECT 1 AS number")
    try:
        await fetch(owner, "GRANT SELECT ON changing TO ignite_tenant")
        read = FixedStatement("SELECT number FROM changing")
        assert [row.number for row in await single.read(None, read, {})] == [1]
        await fetch(owner, "ALTER TABLE changing ALTER number TYPE text")
        assert [row.number for row in await single.read(None, read, {})] == ["1"]
    finally:
        await fetch(owner, "DROP TABLE changing")


class TestNothingIsLeft:
    """These tests cover each way in which a transaction can end, and look at the connection afterwards."""

    async def test_by_one_that_ended_before_its_first_statement(self, single: Database) -> None:
        login, _, pid = await identity_without_role(single)
        async with single.tenant(new_id()) as session:
            await session.connection()
        assert await identity_without_role(single) in {(login, None, pid), (login, "", pid)}

    async def test_by_one_that_was_refused_its_role(self, single: Database) -> None:
        login, _, pid = await identity_without_role(single)
        with pytest.raises(ProgrammingError, match="permission denied to set role"):
            async with single.system() as session:
                await session.execute(WHO)
        assert await identity_without_role(single) == (login, None, pid)
        async with single.tenant(None) as session:
            assert (await session.execute(WHO)).one() == ("ignite_tenant", "", pid)

    async def test_by_one_that_failed(self, single: Database) -> None:
        login, _, pid = await identity_without_role(single)
        with pytest.raises(DBAPIError, match="division by zero"):
            async with single.tenant(new_id()) as session:
                await session.execute(text("SELECT 1 / 0"))
        assert await identity_without_role(single) == (login, "", pid)

    async def test_by_one_whose_first_statement_was_not_sent(self, single: Database) -> None:
        """The driver refuses an argument of a prepared statement when the BEGIN has been sent already."""
        login, _, pid = await identity_without_role(single)
        for _ in range(2):
            async with single.tenant(new_id()) as session:
                await (await session.connection()).exec_driver_sql("SELECT $1::int", (1,))
        with pytest.raises(DBAPIError, match="invalid input for query argument"):
            async with single.tenant(new_id()) as session:
                await (await session.connection()).exec_driver_sql("SELECT $1::int", ("two",))
        found = await identity_without_role(single)
        assert found[:2] == (login, None)
        assert found[2] != pid

    async def test_by_one_that_was_cancelled_in_the_middle(self, single: Database) -> None:
        key = new_id().int % 2**31
        lock = text(f"SELECT pg_advisory_xact_lock({key})")

        async def work() -> None:
            async with single.tenant(new_id()) as session:
                await session.execute(lock)
                locked.set()
                await session.execute(text("SELECT pg_sleep(60)"))

        locked = asyncio.Event()
        task = asyncio.create_task(work())
        await locked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with single.tenant(None) as session:
            await session.execute(lock)
            assert (await session.execute(WHO)).one()[:2] == ("ignite_tenant", "")

    async def test_by_a_single_query(self, single: Database) -> None:
        login, _, pid = await identity_without_role(single)
        tenant_id = new_id()
        who = FixedStatement(
            "SELECT current_user::text AS login, current_setting('app.tenant_id') AS tenant, pg_backend_pid() AS pid"
        )
        [row] = await single.read(tenant_id, who, {})
        assert tuple(row) == ("ignite_tenant", tenant_id.hex, pid)
        assert await identity_without_role(single) == (login, "", pid)
        with pytest.raises(DBAPIError, match="division by zero"):
            await single.read(tenant_id, FixedStatement("SELECT 1 / :zero"), {"zero": 0})
        assert (await identity_without_role(single))[:2] == (login, None)

    async def test_by_a_single_query_with_a_wrong_argument(self, single: Database) -> None:
        """The driver refuses it, when the role has been sent already."""
        login, _, pid = await identity_without_role(single)
        divide = FixedStatement("SELECT 1 / CAST(:divisor AS int)")
        with pytest.raises(DBAPIError, match="invalid input for query argument") as refused:
            await single.read(new_id(), divide, {"divisor": "two"})
        assert outage_of(refused.value) is None
        assert (await identity_without_role(single))[:2] == (login, None)
        assert (await identity_without_role(single))[2] != pid

    async def test_by_a_single_query_whose_connection_was_lost(
        self, addresses: ServiceAddresses, single: Database
    ) -> None:
        login, _, pid = await identity_without_role(single)
        task = asyncio.create_task(single.read(new_id(), FixedStatement("SELECT pg_sleep(60)"), {}))

        async def ended() -> bool:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND state = 'active'"
            return await fetch(addresses.owner_url, end, pid=pid) == [(True,)]

        await eventually(ended)
        with pytest.raises(DBAPIError) as lost:
            await task
        assert isinstance(outage_of(lost.value), Outage)
        assert (await identity_without_role(single))[:2] == (login, None)

    async def test_by_a_single_query_that_was_cancelled(self, single: Database) -> None:
        task = asyncio.create_task(single.read(new_id(), FixedStatement("SELECT pg_sleep(60)"), {}))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with single.tenant(None) as session:
            assert (await session.execute(WHO)).one()[:2] == ("ignite_tenant", "")
