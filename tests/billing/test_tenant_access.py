"""Tests of what a process remembers of tenants: a change made elsewhere acts at once, or else within a second."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date
from uuid import UUID

import pytest

from fastapi_ignite.billing.tenant_access import CHANNEL, NOTIFIED_SECONDS, TenantAccessReader
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import TenantAccess
from fastapi_ignite.infra.db import Database, notifications
from fastapi_ignite.infra.db.notifications import NotificationListener
from fastapi_ignite.infra.services import ServiceAddresses
from support.databases import fetch
from support.fixed_days import calendar_at
from support.http_clients import TenantFactory
from support.pgbouncer_server import reason_to_skip, running_pgbouncer
from support.tenant_records import eventually
from support.watched_statements import recorded_statements

PATIENCE = NOTIFIED_SECONDS / 3  # far more than a busy machine needs, and far less than an access is remembered
DEFAULT_RPM = 70
NAME = "test-listener"
OPEN, SUSPENDED = TenantAccess(DEFAULT_RPM, suspended=False), TenantAccess(DEFAULT_RPM, suspended=True)
ERASED = TenantAccess(DEFAULT_RPM, erased=True)


class Process:
    """An API process that remembers the access of tenants. Its methods also make the changes of other processes."""

    def __init__(self, addresses: ServiceAddresses, database: Database, listener: NotificationListener) -> None:
        self.addresses = addresses
        self.database = database
        self.listener = listener
        self.reader = TenantAccessReader(database, DEFAULT_RPM, listener)

    async def change(self, statement: str, **parameters: object) -> None:
        await fetch(self.addresses.owner_url, statement, **parameters)

    async def suspend(self, tenant_id: UUID) -> None:
        await self.change("UPDATE tenants SET suspended_at = now() WHERE id = :id", id=tenant_id)

    async def resume(self, tenant_id: UUID) -> None:
        await self.change("UPDATE tenants SET suspended_at = NULL WHERE id = :id", id=tenant_id)

    async def remembers(self, tenant_id: UUID) -> None:
        """Wait until the open access is remembered: the notice of a tenant that is new may come during a look-up."""

        async def holds() -> bool:
            assert await self.reader.access(tenant_id) == OPEN
            with recorded_statements(self.database) as statements:
                await self.reader.access(tenant_id)
            return not statements

        await asyncio.sleep(0.1)
        await eventually(holds)

    async def sees(self, tenant_id: UUID, access: TenantAccess) -> None:
        """Wait until the access is this one, for less time than another one would be remembered."""

        async def holds() -> bool:
            return await self.reader.access(tenant_id) == access

        async with asyncio.timeout(PATIENCE):
            await eventually(holds)

    async def receives(self) -> None:
        async def receiving() -> bool:
            return self.listener.is_receiving()

        async with asyncio.timeout(PATIENCE):
            await eventually(receiving)

    async def sessions(self) -> list[int]:
        rows = await fetch(
            self.addresses.owner_url,
            "SELECT pid FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()",
            name=NAME,
        )
        return [pid for (pid,) in rows]


@pytest.fixture
async def process(addresses: ServiceAddresses, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Process]:
    monkeypatch.setattr(notifications, "ANSWER_SECONDS", 300)  # a silent connection is not given up, only not believed
    database = Database(addresses.api_url, pool_size=1)
    listener = NotificationListener(addresses.api_url, CHANNEL, application_name=NAME)
    process = Process(addresses, database, listener)
    async with listener.running():
        await process.receives()
        yield process
    await database.close()
    assert await process.sessions() == [], "its session ends with it"


@pytest.fixture
async def make_plan(addresses: ServiceAddresses) -> Callable[[int], Awaitable[str]]:
    async def make(rpm: int) -> str:
        plan_id = f"plan-{new_id().hex[-12:]}"
        await fetch(
            addresses.owner_url,
            "INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap, rate_limit_rpm) "
            "VALUES (:id, 'Test', 3, 5, 100, :rpm)",
            id=plan_id,
            rpm=rpm,
        )
        return plan_id

    return make


@contextmanager
def silent(pid: int) -> Iterator[None]:
    """Make a session of the server answer nothing while its connection stays open."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_changes_of_other_processes_act_although_the_access_is_remembered(
    process: Process, make_tenant: TenantFactory, make_plan: Callable[[int], Awaitable[str]]
) -> None:
    tenant = await make_tenant()
    plan = await make_plan(5)
    await process.remembers(tenant.id)
    await process.suspend(tenant.id)
    await process.sees(tenant.id, SUSPENDED)
    await process.resume(tenant.id)
    await process.sees(tenant.id, OPEN)
    await process.change("UPDATE subscriptions SET plan_id = :plan WHERE tenant_id = :id", plan=plan, id=tenant.id)
    await process.sees(tenant.id, TenantAccess(5, suspended=False))
    await process.change("UPDATE plans SET rate_limit_rpm = 6 WHERE id = :id", id=plan)
    await process.sees(tenant.id, TenantAccess(6, suspended=False))
    await process.change("UPDATE subscriptions SET ends_on = '2020-01-01' WHERE tenant_id = :id", id=tenant.id)
    await process.sees(tenant.id, OPEN)
    await process.change("UPDATE subscriptions SET ends_on = NULL WHERE tenant_id = :id", id=tenant.id)
    await process.sees(tenant.id, TenantAccess(6, suspended=False))
    await process.change("DELETE FROM subscriptions WHERE tenant_id = :id", id=tenant.id)
    await process.sees(tenant.id, OPEN)
    await process.change(
        "INSERT INTO deletions (tenant_id, id, kind, state, notified_at, lease_until) "
        "VALUES (:id, :id, 'tenant', 'completed', now(), now() + interval '1 day')",
        id=tenant.id,
    )
    await process.sees(tenant.id, ERASED)
    await process.change("DELETE FROM tenants WHERE id = :id", id=tenant.id)
    await process.sees(tenant.id, ERASED)
    await process.change("DELETE FROM deletions WHERE tenant_id = :id", id=tenant.id)


async def test_an_access_that_nobody_changes_is_not_read_again(process: Process, make_tenant: TenantFactory) -> None:
    tenant, other = await make_tenant(), await make_tenant()
    await process.remembers(tenant.id)
    with recorded_statements(process.database) as statements:
        for _ in range(3):
            await asyncio.sleep(0.5)
            await process.suspend(other.id)
            # no notice: neither a column that decides nothing, nor a value that stays as it is
            await process.change("UPDATE subscriptions SET synced_at = now() WHERE tenant_id = :id", id=tenant.id)
            await process.change("UPDATE tenants SET name = 'N', suspended_at = NULL WHERE id = :id", id=tenant.id)
            await process.reader.access(tenant.id)
    assert statements == []


async def test_a_plan_ends_at_midnight_although_no_row_changes(
    process: Process, make_tenant: TenantFactory, make_plan: Callable[[int], Awaitable[str]]
) -> None:
    with calendar_at(date(2031, 1, 31)) as calendar:
        tenant = await make_tenant(await make_plan(3))
        await tenant.post("/billing/cancel")
        calendar.today = date(2031, 2, 27)
        assert (await process.reader.access(tenant.id)).rpm == 3
        calendar.today = date(2031, 2, 28)
        assert (await process.reader.access(tenant.id)).rpm == DEFAULT_RPM


async def test_nothing_is_missed_when_the_session_is_ended(
    process: Process, make_tenant: TenantFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tenant = await make_tenant()
    await process.remembers(tenant.id)
    (session,) = await process.sessions()
    await fetch(process.addresses.owner_url, "SELECT pg_terminate_backend(:pid, 5000)", pid=session)
    await process.suspend(tenant.id)  # nobody listens

    async def healed() -> bool:
        return await process.sessions() not in ([], [session]) and process.listener.is_receiving()

    await eventually(healed)
    await process.sees(tenant.id, SUSPENDED)
    await process.resume(tenant.id)
    await process.sees(tenant.id, OPEN)
    lines = [record.getMessage() for record in caplog.records if "notices" in record.getMessage()]
    assert ["not received" in line for line in lines] == [True, False], "one line at the begin, and one at the end"


async def test_changes_act_while_the_connection_is_silent(process: Process, make_tenant: TenantFactory) -> None:
    tenant = await make_tenant()
    await process.remembers(tenant.id)
    (session,) = await process.sessions()
    with silent(session):
        await process.suspend(tenant.id)
        await process.sees(tenant.id, SUSPENDED)
        assert not process.listener.is_receiving()
        await process.resume(tenant.id)
        await process.sees(tenant.id, OPEN)
    await process.receives()


@pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip()))
async def test_a_pooler_is_never_trusted(
    addresses: ServiceAddresses, make_tenant: TenantFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """A pooler throws away the notices that arrive while no client uses the session that listens."""
    tenant = await make_tenant()

    async def refused() -> bool:
        return "pooler" in caplog.text

    with running_pgbouncer(addresses, pool_size=1) as pooled:
        database = Database(pooled.api_url, pool_size=1)
        listener = NotificationListener(pooled.api_url, CHANNEL, application_name=NAME)
        process = Process(addresses, database, listener)
        async with listener.running():
            await eventually(refused)
            await process.remembers(tenant.id)
            await process.suspend(tenant.id)
            await process.sees(tenant.id, SUSPENDED)
            assert not listener.is_receiving()
        await database.close()


async def test_what_others_send_on_the_channel_only_costs_a_look_up(
    process: Process, make_tenant: TenantFactory
) -> None:
    tenant = await make_tenant()
    await process.remembers(tenant.id)
    with recorded_statements(process.database) as statements:
        for payload in ("", "not an id", "'" * 100, str(tenant.id)):
            await fetch(process.addresses.owner_url, "SELECT pg_notify(:channel, :text)", channel=CHANNEL, text=payload)
        await asyncio.sleep(0.2)
        assert await process.reader.access(tenant.id) == OPEN
    assert len(statements) <= 1
    assert process.listener.is_receiving()
