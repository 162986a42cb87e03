"""Facts about deletions for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract, Ids
from support.http_clients import TenantClient


async def _create_rows(tenant: TenantClient, word: str) -> Ids:
    project = await tenant.create_project(f"The deleted {word} project")
    await tenant.delete(f"/ingestion/projects/{project}")
    return {"deletion_id": project}


async def _is_at_rest(tenant: TenantClient, ids: Ids) -> bool:
    return bool((await tenant.get(f"/deletions/{ids['deletion_id']}")).json()["state"] == "completed")


CONTRACT = FeatureContract(
    least_role={"GET /deletions": Role.VIEWER, "GET /deletions/{deletion_id}": Role.VIEWER},
    create_rows=_create_rows,
    is_at_rest=_is_at_rest,
)
