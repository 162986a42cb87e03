"""Erases tenants, and reads how far their erasure is."""

from __future__ import annotations

from typing import Any

import httpx2

from fastapi_ignite.infra.db import Database
from support.http_clients import TenantClient
from support.tenant_records import eventually, rows_of

STAYS = {"audit_events", "deletions"}  # tables that have rows of a tenant after its erasure


async def erase(tenant: TenantClient, **body: object) -> httpx2.Response:
    """Erase the tenant without an export, unless the body says otherwise."""
    return await tenant.post("/tenants/current/erase", json={"confirm": str(tenant.id), "without_export": True, **body})


async def receipt_of(database: Database, tenant: TenantClient) -> dict[str, Any]:
    """Return the row of the erasure, without a request that would leave a trace in Redis."""
    (row,) = await rows_of(database, tenant.id, "SELECT * FROM deletions WHERE id = tenant_id")
    return dict(row)


async def completed(database: Database, tenant: TenantClient) -> None:
    """Wait until a worker has erased the tenant."""

    async def done() -> bool:
        return bool((await receipt_of(database, tenant))["state"] == "completed")

    await eventually(done)
