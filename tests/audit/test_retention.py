"""Tests that old events of the audit are removed, and that nobody can remove others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fastapi_ignite.audit import tasks
from fastapi_ignite.audit.repository import remove_old_events
from fastapi_ignite.audit.tasks import remove_old_audit
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.sections import RetentionSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.infra.services import ServiceAddresses
from support.databases import fetch
from support.http_clients import TenantClient
from support.tenant_records import rows_of

AGES = (0, 29, 399, 401, 500, 900)
EVENT = (
    "INSERT INTO {table} ({tenant}id, created_at, actor_kind, action, details) "
    "VALUES ({value}:id, now() - make_interval(days => :age), 'system', 'aged', '{{}}')"
)
LEFT = "SELECT CAST(extract(day FROM now() - created_at) AS integer) FROM {} WHERE action = 'aged' ORDER BY created_at"


@pytest.fixture
async def aged(tenant: TenantClient, database: Database, addresses: ServiceAddresses) -> None:
    """Make an event of each age in days, of the tenant and of the service."""
    for age in AGES:
        of_tenant = EVENT.format(table="audit_events", tenant="tenant_id, ", value=":tenant, ")
        await rows_of(database, tenant.id, of_tenant, tenant=tenant.id, id=new_id(), age=age)
        of_service = EVENT.format(table="admin_events", tenant="", value="")
        await fetch(addresses.owner_url, of_service, id=new_id(), age=age)


def keeping(context: TaskContext, days: int) -> TaskContext:
    """Return the context of an installation that keeps events for so many days."""
    settings = context.settings.model_copy(update={"retention": RetentionSettings(audit_days=days)})
    return replace(context, settings=settings)


async def left(addresses: ServiceAddresses) -> tuple[set[int], set[int]]:
    """Return the ages of the events that are left, of the tenant and of the service."""
    found = [await fetch(addresses.owner_url, LEFT.format(table)) for table in ("audit_events", "admin_events")]
    return {age for (age,) in found[0]}, {age for (age,) in found[1]}


@pytest.mark.usefixtures("aged")
async def test_events_are_removed_after_the_days_of_the_setting(
    tenant: TenantClient,
    task_context: TaskContext,
    addresses: ServiceAddresses,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "REMOVED_AT_A_TIME", 2)
    await remove_old_audit.run(keeping(task_context, 0))
    assert await left(addresses) == (set(AGES), set(AGES))
    await remove_old_audit.run(keeping(task_context, 400))
    young = {age for age in AGES if age < 400}
    assert await left(addresses) == (young, young)
    events = (await tenant.get("/audit", params={"action": "tenant.created"})).json()["events"]
    assert len(events) == 1


@pytest.mark.usefixtures("aged")
async def test_the_last_thirty_days_cannot_be_removed(database: Database, addresses: ServiceAddresses) -> None:
    before = await left(addresses)
    with pytest.raises(DBAPIError, match="events of the last 30 days are kept"):
        async with database.system() as session:
            await remove_old_events(session, before=clock.now() - timedelta(days=29), limit=100)
    assert await left(addresses) == before


@pytest.mark.parametrize("statement", ["SELECT remove_old_events(now() - interval '1 year', 1)"])
async def test_a_tenant_removes_none(tenant: TenantClient, database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        await rows_of(database, tenant.id, statement)


async def test_the_owner_of_the_tables_is_refused_too(addresses: ServiceAddresses, tenant: TenantClient) -> None:
    for change in ("DELETE FROM audit_events", "UPDATE audit_events SET address = NULL", "TRUNCATE audit_events"):
        with pytest.raises(DBAPIError, match="append-only"):
            await fetch(addresses.owner_url, change)
    assert (await tenant.get("/audit")).json()["events"]


async def test_no_login_takes_the_role_of_the_functions(database: Database) -> None:
    async with database.engine.connect() as connection:
        members = text(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper "
            "AND pg_has_role(rolname, 'ignite_retention', 'MEMBER')"
        )
        assert (await connection.scalars(members)).all() == []


@pytest.mark.parametrize("days", [-1, 1, 29, 36_501])
def test_a_time_that_is_too_short_is_refused(days: int) -> None:
    with pytest.raises(ValidationError):
        RetentionSettings(audit_days=days)
