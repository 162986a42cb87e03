"""Tests of a process that has not heard of the erasure yet: no operation of it fails, or writes what would stay."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.http.state import AppState, TenantAccess
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from isolation.id_places import places, request
from support.both_engines import of_the_local_engine
from support.erasures import STAYS, erase
from support.http_clients import TenantClient, client_for
from support.http_contract import operations
from support.tenant_leftovers import rows_left

OPERATIONS = [operation for operation in operations() if "x-required-scope" in operation.definition]


class StaleAccess:
    """Tells that every tenant may do everything."""

    async def access(self, tenant_id: UUID) -> TenantAccess:
        del tenant_id
        return TenantAccess(rpm=10**6)


@of_the_local_engine
async def test_no_operation_writes_for_a_tenant_that_is_gone(
    tenant_without_worker: TenantClient,
    engine_settings: Settings,
    state: AppState,
    unreachable_jobs: JobQueue,
    database: Database,
    remover: TenantRemover,
) -> None:
    tenant = tenant_without_worker
    await erase(tenant)
    await remover.run(tenant.id, tenant.id)
    assert len(OPERATIONS) > 40
    failed, wrote = {}, {}
    async with client_for(engine_settings, {**state, "tenants": StaleAccess(), "jobs": unreachable_jobs}) as stale:
        for operation in OPERATIONS:
            ids = {place.name: str(new_id()) for place in places(operation) if place.required}
            made = request(operation, ids, {})
            answer = await stale.request(**{**made, "headers": {**tenant.headers, **made["headers"]}})
            if answer.is_server_error:
                failed[str(operation)] = answer.text
            if (left := await rows_left(database, tenant.id)).keys() != STAYS:
                wrote[str(operation)] = left
    assert failed == {}
    assert wrote == {}
