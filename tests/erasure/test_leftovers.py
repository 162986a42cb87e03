"""Tests that what a request under way writes of an erased tenant is found, and removed too."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core.audit_context import Actor, AuditContext, set_audit_context
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.erasure.tasks import find_leftovers
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext
from fastapi_ignite.ingestion.storage_sweep import MIN_AGE, MIN_AGE_OF_UNKNOWN
from fastapi_ignite.tasks import sweep_storage
from support.both_engines import of_the_local_engine
from support.erasures import STAYS, erase, receipt_of
from support.http_clients import TenantClient
from support.tenant_leftovers import objects_left, rows_left
from support.tenant_records import rows_of

pytestmark = of_the_local_engine  # every engine's rows refer to the tenant
A_KEY = """
INSERT INTO idempotency_keys
    (tenant_id, route, key_sha256, fingerprint, state, claim_id, claimed_at, lease_until, expires_at)
VALUES (:tenant, 'POST /x', 'a', 'b', 'in_progress', :tenant, now(), now(), now() + interval '30 minutes')
"""
A_RECEIPT = """
INSERT INTO deletions (tenant_id, id, kind, state, notified_at) VALUES (:tenant, :other, 'file', 'in_progress', now())
"""
AN_API_KEY = """
INSERT INTO api_keys (tenant_id, id, name, digest, hint, role, created_by)
VALUES (:tenant, :tenant, 'k', 'd', 'h', 'owner', 'token')
"""


@pytest.fixture
def idle_context(task_context: TaskContext, unreachable_jobs: JobQueue) -> TaskContext:
    """Return the context of a scheduler whose messages reach no worker."""
    return replace(task_context, jobs=unreachable_jobs)


@pytest.fixture
async def erased(tenant_without_worker: TenantClient, remover: TenantRemover) -> TenantClient:
    """Return a tenant of which nothing is left but what must stay."""
    await erase(tenant_without_worker)
    await remover.run(tenant_without_worker.id, tenant_without_worker.id)
    return tenant_without_worker


async def found_and_removed(
    database: Database, remover: TenantRemover, context: TaskContext, tenant: TenantClient
) -> None:
    before = await receipt_of(database, tenant)
    assert before["state"] == "completed"
    assert await find_leftovers.run(context) == 1
    assert (await receipt_of(database, tenant))["state"] == "in_progress"
    await remover.run(tenant.id, tenant.id)
    after = await receipt_of(database, tenant)
    assert (after["state"], after["created_at"]) == ("completed", before["created_at"])
    assert (await rows_left(database, tenant.id)).keys() == STAYS
    assert await find_leftovers.run(context) == 0


@pytest.mark.parametrize("statement", [A_KEY, A_RECEIPT], ids=["idempotency_keys", "deletions"])
async def test_a_row_of_a_table_that_does_not_refer_to_the_tenant(
    erased: TenantClient, database: Database, remover: TenantRemover, idle_context: TaskContext, statement: str
) -> None:
    values = {"tenant": erased.id, "other": new_id()}
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    await rows_of(database, erased.id, statement, **used)
    await found_and_removed(database, remover, idle_context, erased)


@pytest.mark.parametrize("action", [Action.PROJECT_CREATED, Action.EXPORT_DOWNLOADED])
async def test_an_event_loses_what_is_personal(
    erased: TenantClient, database: Database, remover: TenantRemover, idle_context: TaskContext, action: Action
) -> None:
    set_audit_context(AuditContext(Actor("token", "auth0|4711"), "a-request", "203.0.113.7"))
    async with database.tenant(erased.id) as session:
        AuditLog(session).record(erased.id, action, new_id(), name="Wilhelmina")
    await found_and_removed(database, remover, idle_context, erased)
    events = await rows_of(database, erased.id, "SELECT * FROM audit_events")
    stays = str([dict(event) for event in events])
    for personal in ("4711", "a-request", "203.0.113.7", "Wilhelmina"):
        assert personal not in stays
    assert (action in {event["action"] for event in events}) == (action is Action.EXPORT_DOWNLOADED)


async def test_a_row_of_any_other_table_cannot_be_written(erased: TenantClient, database: Database) -> None:
    with pytest.raises(IntegrityError):
        await rows_of(database, erased.id, AN_API_KEY, tenant=erased.id)


async def test_nothing_is_found_of_tenants_that_are_not_erased(
    tenant_without_worker: TenantClient, idle_context: TaskContext, database: Database
) -> None:
    await tenant_without_worker.create_project()
    before = await rows_left(database, tenant_without_worker.id)
    assert await find_leftovers.run(idle_context) == 0
    assert await rows_left(database, tenant_without_worker.id) == before


async def test_an_object_without_a_row_is_swept(
    erased: TenantClient, settings: Settings, idle_context: TaskContext
) -> None:
    """A worker that dies while it writes an upload or an archive leaves one."""
    folder = settings.ignite.data_dir / "storage" / "objects"
    put(folder / f"{erased.id}/{new_id()}/{new_id()}.0", MIN_AGE.total_seconds())
    put(folder / f"{erased.id}/exports/{new_id()}.1.zip", MIN_AGE_OF_UNKNOWN.total_seconds())
    assert objects_left(settings, erased.id) == 2
    await sweep_storage.run(idle_context)
    assert objects_left(settings, erased.id) == 0


def put(path: Path, age: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"The orchard.")
    then = time.time() - age - 60
    os.utime(path, (then, then))
