"""Tests of what a tenant reads and changes of itself."""

from __future__ import annotations

import pytest

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import rows_of
from support.tokens import signed


async def test_a_tenant_reads_itself(tenant: TenantClient) -> None:
    read = (await tenant.get("/tenants/current")).json()
    assert (read["id"], read["plan_id"], read["billing_cycle"]) == (str(tenant.id), "hobby", "monthly")
    assert set(read) == {"id", "name", "plan_id", "billing_cycle", "created_at"}


async def test_a_new_name_is_kept_and_audited(
    tenant: TenantClient, make_tenant: TenantFactory, database: Database
) -> None:
    stranger = await make_tenant()
    before = (await stranger.get("/tenants/current")).json()
    changed = await tenant.patch("/tenants/current", json={"name": "  New name  "})
    assert (changed.status_code, changed.json()["name"]) == (200, "New name")
    assert (await tenant.get("/tenants/current")).json() == changed.json()
    assert (await stranger.get("/tenants/current")).json() == before
    assert (await tenant.patch("/tenants/current", json={"name": "New name"})).status_code == 200
    events = await rows_of(database, tenant.id, "SELECT details FROM audit_events WHERE action = 'tenant.renamed'")
    assert [event["details"]["name"] for event in events] == ["New name"]


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": " "}, {"name": "x" * 201}, {"name": "a", "plan_id": "pro"}]
)
async def test_a_name_that_is_none_is_refused(tenant: TenantClient, body: dict[str, str]) -> None:
    before = (await tenant.get("/tenants/current")).json()
    assert (await tenant.patch("/tenants/current", json=body)).status_code == 422
    assert (await tenant.get("/tenants/current")).json() == before


async def test_a_token_of_no_tenant_is_404(tenant: TenantClient) -> None:
    nobody = TenantClient(new_id(), tenant.http, {"Authorization": f"Bearer {signed(str(new_id()))}"})
    answer = await nobody.get("/tenants/current")
    assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")
