"""Tests of plans that administrators change: a change acts at once and is recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import PlanChange
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from support.http_clients import TenantFactory
from support.http_contract import problem
from support.tenant_records import waits_for_a_lock
from support.tokens import bearer

CAPS = {"max_projects": 1, "monthly_message_cap": 5, "monthly_upload_char_cap": 100}


@pytest.fixture
def admin(admin_key: str) -> dict[bytes, bytes]:
    return bearer(admin_key)


@pytest.fixture
def plan_id() -> str:
    return f"plan-{new_id().hex[-12:]}"


async def put(client: httpx2.AsyncClient, admin: dict[bytes, bytes], plan_id: str, **change: object) -> httpx2.Response:
    return await client.put(f"/admin/plans/{plan_id}", json=change, headers=admin)


async def listed(client: httpx2.AsyncClient, path: str, **options: Any) -> set[str]:
    found: set[str] = set()
    while page := (await client.get(path, params={"limit": 100, "skip": len(found)}, **options)).json()["plans"]:
        found |= {plan["id"] for plan in page}
    return found


async def test_a_plan_is_made_and_what_is_sent_of_it_changed(
    client: httpx2.AsyncClient, admin: dict[bytes, bytes], plan_id: str
) -> None:
    made = await put(client, admin, plan_id, name="Team", rate_limit_rpm=50, **CAPS)
    assert (made.status_code, made.json()["name"], made.json()["limits"]["monthly_message_cap"]) == (200, "Team", 5)
    changed = await put(client, admin, plan_id, monthly_message_cap=7, rate_limit_rpm=None)
    assert (changed.json()["name"], changed.json()["limits"]["monthly_message_cap"]) == ("Team", 7)
    assert (made.json()["rate_limit_rpm"], changed.json()["rate_limit_rpm"]) == (50, None)


async def test_who_makes_one_while_another_does_changes_it(
    client: httpx2.AsyncClient,
    admin: dict[bytes, bytes],
    plan_id: str,
    database: Database,
    addresses: ServiceAddresses,
) -> None:
    async with database.system() as session:
        await PlanService(session).put(plan_id, PlanChange(name="Team", monthly_price=900, **CAPS))
        coming = asyncio.create_task(put(client, admin, plan_id, **CAPS | {"max_projects": 2}))
        await waits_for_a_lock(addresses, "INSERT INTO plans%")
    answer = await coming
    assert (answer.status_code, answer.json()["limits"]["max_projects"]) == (200, 2)
    assert (answer.json()["name"], answer.json()["monthly_price"]) == ("Team", 900)


async def test_a_change_acts_at_once_on_who_has_the_plan(
    client: httpx2.AsyncClient, admin: dict[bytes, bytes], plan_id: str, make_tenant: TenantFactory
) -> None:
    await put(client, admin, plan_id, **CAPS)
    tenant = await make_tenant(plan_id)
    await tenant.create_project()
    refused = await tenant.post("/ingestion/projects/create?name=Second")
    problem(refused, 402, "quota_exceeded")
    await put(client, admin, plan_id, max_projects=2)
    await tenant.create_project("Second")


async def test_a_new_plan_needs_all_of_its_caps(
    client: httpx2.AsyncClient, admin: dict[bytes, bytes], plan_id: str
) -> None:
    refused = problem(await put(client, admin, plan_id, max_projects=1), 422, "plan_incomplete")
    assert refused["missing"] == ["monthly_message_cap", "monthly_upload_char_cap"]
    assert plan_id not in await listed(client, "/admin/plans", headers=admin)


async def test_one_that_is_taken_out_can_be_put_back(
    client: httpx2.AsyncClient, admin: dict[bytes, bytes], plan_id: str
) -> None:
    await put(client, admin, plan_id, **CAPS)
    gone = await client.delete(f"/admin/plans/{plan_id}", headers=admin)
    assert (gone.status_code, gone.json()["active"]) == (200, False)
    assert plan_id not in await listed(client, "/plans")
    assert plan_id in await listed(client, "/admin/plans", headers=admin)
    await put(client, admin, plan_id, active=True)
    assert plan_id in await listed(client, "/plans")
    problem(await client.delete("/admin/plans/nothing", headers=admin), 404, "plan_not_found")


async def test_each_change_is_on_record_with_who_made_it(
    client: httpx2.AsyncClient, admin: dict[bytes, bytes], admin_key_id: str, plan_id: str
) -> None:
    await put(client, admin, plan_id, **CAPS)
    await client.delete(f"/admin/plans/{plan_id}", headers=admin)
    answer = await client.get("/admin/audit", headers=admin, params={"action": "plan.changed"})
    out, made = [event for event in answer.json()["events"] if event["target"] == plan_id]
    assert (out["details"], made["details"]) == ({"active": False}, {"name": plan_id, **CAPS})
    assert {event["actor"]["id"] for event in (out, made)} == {admin_key_id}
