"""Facts about API keys for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract, Ids
from support.http_clients import TenantClient


async def _create_rows(tenant: TenantClient, word: str) -> Ids:
    key = {"Idempotency-Key": f"key-of-{word}"}
    created = await tenant.post("/api-keys", json={"name": f"The {word} key"}, headers=key)
    return {"key_id": created.json()["id"]}


CONTRACT = FeatureContract(
    least_role={
        "POST /api-keys": Role.ADMIN,
        "GET /api-keys": Role.ADMIN,
        "POST /api-keys/{key_id}/rotate": Role.ADMIN,
        "DELETE /api-keys/{key_id}": Role.ADMIN,
    },
    create_rows=_create_rows,
)
