from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from support.http_clients import TenantClient


async def test_an_upgrade_acts_at_once(tenant: TenantClient) -> None:
    answer = (await tenant.post("/billing/subscribe?plan_id=pro&cycle=annual")).json()
    assert answer["status"] == "ok"
    assert answer["plan_name"] == "Pro"
    assert answer["billing_cycle"] == "annual"
    assert answer["limits"]["max_projects"] == 10
    start, end = date.fromisoformat(answer["period_start"]), date.fromisoformat(answer["period_end"])
    assert 364 <= (end - start).days <= 365
    quota_start = date.fromisoformat(answer["quota_period_start"])
    assert 27 <= (date.fromisoformat(answer["quota_period_end"]) - quota_start).days <= 30


async def test_changing_plans_refills_nothing(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    await tenant.ask(project, "Anything?")
    before = (await tenant.get("/limits/current")).json()["usage"]
    for plan in ("pro", "hobby", "pro"):
        await tenant.post(f"/billing/subscribe?plan_id={plan}&cycle=monthly")
    assert (await tenant.get("/limits/current")).json()["usage"] == before
    assert before["messages_used"] == 1


async def test_the_quota_month_stays_when_the_cycle_changes(tenant: TenantClient, database: Database) -> None:
    anchor = date.fromisoformat((await tenant.get("/limits/current")).json()["quota_period_start"])
    earlier = anchor - timedelta(days=40)
    async with database.tenant(tenant.id) as session:
        await session.execute(
            text("UPDATE subscriptions SET quota_anchor = :day, billing_anchor = :day"), {"day": earlier}
        )
    before = (await tenant.get("/limits/current")).json()
    after = (await tenant.post("/billing/subscribe?plan_id=hobby&cycle=annual")).json()
    assert after["quota_period_start"] == before["quota_period_start"]
    assert after["period_start"] == anchor.isoformat()
    assert date.fromisoformat(before["period_start"]) < anchor


async def test_the_tenants_cached_plan_stays_in_step(tenant: TenantClient, database: Database) -> None:
    await tenant.post("/billing/subscribe?plan_id=pro&cycle=annual")
    async with database.tenant(tenant.id) as session:
        row = (await session.execute(text("SELECT plan_id, billing_cycle FROM tenants"))).one()
    assert tuple(row) == ("pro", "annual")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("plan_id=platinum&cycle=annual", 404, "plan_not_found"),
        ("plan_id=pro&cycle=weekly", 422, "invalid_billing_cycle"),
        ("plan_id=", 422, "validation_error"),
        ("plan_id=%00", 422, "validation_error"),
    ],
)
async def test_bad_input_changes_nothing(tenant: TenantClient, query: str, status: int, code: str) -> None:
    before = (await tenant.get("/limits/current")).json()
    answer = await tenant.post(f"/billing/subscribe?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await tenant.get("/limits/current")).json() == before


async def test_a_token_of_no_tenant_has_no_subscription(client: httpx2.AsyncClient, settings: Settings) -> None:
    unknown: UUID = new_id()
    nobody = TenantClient(unknown, client, {"Authorization": f"Bearer {sign_token(unknown, settings)}"})
    assert (await nobody.get("/limits/current")).json() == {"subscribed": False}
    assert (await nobody.post("/billing/subscribe?plan_id=pro")).json()["code"] == "tenant_not_found"
    created = await nobody.post("/ingestion/projects/create?name=Docs")
    assert (created.status_code, created.json()["code"]) == (402, "subscription_required")
