"""Facts about exports for the tests that cover all features."""

from __future__ import annotations

from functools import partial

from fastapi_ignite.core.permissions import Role
from fastapi_ignite.exports.tasks import export_tenant, remove_export
from support.feature_contracts import FeatureContract, Ids, JobRow, RepeatableRequest
from support.http_clients import TenantClient
from support.tenant_records import eventually

INSERT = (
    "INSERT INTO exports (tenant_id, id, include_files, state, notified_at) VALUES (:tenant, :id, false, :state, now())"
)


async def _create_rows(tenant: TenantClient, word: str) -> Ids:
    key = {"Idempotency-Key": f"key-of-{word}"}
    started = await tenant.post("/tenants/export", params={"include_files": True}, headers=key)
    return {"export_id": started.json()["id"]}


async def _is_at_rest(tenant: TenantClient, ids: Ids) -> bool:
    return bool((await tenant.get(f"/tenants/exports/{ids['export_id']}")).json()["status"] == "completed")


async def _perform_audited_actions(tenant: TenantClient) -> None:
    export = {"export_id": (await tenant.post("/tenants/export")).json()["id"]}
    await eventually(partial(_is_at_rest, tenant, export))
    await tenant.get(f"/tenants/exports/{export['export_id']}/download")


CONTRACT = FeatureContract(
    least_role={
        "POST /tenants/export": Role.ADMIN,
        "GET /tenants/exports/{export_id}": Role.ADMIN,
        "GET /tenants/exports/{export_id}/download": Role.ADMIN,
    },
    job_rows={
        export_tenant: JobRow("exports", "queued", INSERT),
        remove_export: JobRow("exports", "expired", INSERT),
    },
    repeatable=(RepeatableRequest("/tenants/export", 202, {}, {"params": {"include_files": "true"}}),),
    perform_audited_actions=_perform_audited_actions,
    create_rows=_create_rows,
    is_at_rest=_is_at_rest,
)
