"""Tests that the audit log is complete and correct, and that nobody can change it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from support.databases import fetch
from support.feature_contracts import contracts
from support.http_clients import TenantClient, TenantFactory
from support.http_contract import problem
from support.tokens import bearer, signed

# no token of an erased tenant reads its events: see tests/erasure
OTHER_ACTIONS = (Action.TENANT_ERASED, "admin_key.", "plan.")
TENANT_ACTIONS = {action for action in Action if not action.startswith(OTHER_ACTIONS)}


async def events(tenant: TenantClient, **params: object) -> list[dict[str, Any]]:
    answer = await tenant.get("/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


@pytest.mark.usefixtures("worker")
async def test_whatever_changes_something_is_recorded(tenant: TenantClient, admin_key: str) -> None:
    """The test does every action once over HTTP."""
    project = await tenant.create_project("Docs")
    (file,) = (await tenant.upload(project, ("a.txt", b"text"))).json()["files"]
    await tenant.delete(f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": file["id"]})
    await tenant.post("/billing/subscribe", params={"plan_id": "pro"})
    key = (await tenant.post("/api-keys", json={"name": "k"})).json()["id"]
    new = (await tenant.post(f"/api-keys/{key}/rotate", json={})).json()["id"]
    await tenant.delete(f"/api-keys/{new}")
    await tenant.patch("/tenants/current", json={"name": "Renamed"})
    for contract in contracts().values():
        await contract.perform_audited_actions(tenant)
    for verb, body in (("suspend", {"reason": "r"}), ("resume", None)):
        await tenant.http.post(f"/admin/tenants/{tenant.id}/{verb}", headers=bearer(admin_key), json=body)
    found = await events(tenant, limit=100)
    recorded = {event["action"]: event for event in reversed(found)}
    assert set(recorded) == TENANT_ACTIONS
    assert project in {event["target"] for event in found if event["action"] == "project.created"}
    assert recorded["file.removed"]["target"] == file["id"]
    assert recorded["api_key.rotated"]["target"] == key
    assert recorded["subscription.changed"]["details"]["after"]["plan_id"] == "pro"
    assert recorded["tenant.created"]["actor"]["kind"] == "anonymous"


async def test_an_event_names_actor_request_and_address(tenant: TenantClient) -> None:
    token = signed(str(tenant.id), sub="auth0|4711")
    headers = {**bearer(token), b"X-Request-ID": b"my-request"}
    await tenant.http.post("/ingestion/projects/create", params={"name": "Docs"}, headers=headers)
    (event,) = await events(tenant, action="project.created")
    assert event["actor"] == {"kind": "token", "id": "auth0|4711"}
    assert event["request_id"] == "my-request"
    assert event["address"]


async def test_a_subscription_begins_once(tenant: TenantClient) -> None:
    (event,) = await events(tenant, action="subscription.changed")
    assert event["details"]["before"] is None
    assert event["details"]["after"]["plan_id"] == "hobby"


async def test_a_subject_that_cannot_be_stored_is_told_as_far_as_it_can(tenant: TenantClient) -> None:
    """An identity provider may let its users choose their subject."""
    for name, subject in (("one", "a\x00b\ud800c\n"), ("two", "\ud800")):
        headers = bearer(signed(str(tenant.id), sub=subject))
        made = await tenant.http.post("/ingestion/projects/create", params={"name": name}, headers=headers)
        assert made.status_code == 200, made.text
    second, first = await events(tenant, action="project.created")
    assert (first["actor"]["id"], second["actor"]["id"]) == ("abc", None)


async def test_what_is_refused_or_changes_nothing_is_not_recorded(tenant: TenantClient) -> None:
    await tenant.create_project("Docs")
    before = await events(tenant)
    await tenant.create_project("Docs")
    await tenant.post("/billing/subscribe", params={"plan_id": "hobby"})
    await tenant.post("/billing/subscribe", params={"plan_id": "platinum"})
    await tenant.post("/api-keys", json={"name": " "})
    await tenant.delete(f"/ingestion/projects/{uuid4()}/remove_file", params={"openai_file_id": str(uuid4())})
    assert await events(tenant) == before


async def test_a_change_that_is_undone_leaves_no_record(tenant: TenantClient, database: Database) -> None:
    async def fail() -> None:
        async with database.tenant(tenant.id) as session:
            AuditLog(session).record(tenant.id, Action.PROJECT_CREATED, uuid4())
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert [event["action"] for event in await events(tenant)].count("project.created") == 0


async def test_another_tenant_sees_none_of_it(tenant: TenantClient, make_tenant: TenantFactory) -> None:
    other = await make_tenant()
    await other.create_project("secret plans")
    cursor = (await events(other))[0]["id"]
    assert "secret plans" not in (await tenant.get("/audit")).text
    assert "secret plans" not in (await tenant.get("/audit", params={"after": cursor})).text


@pytest.mark.parametrize("login", ["tenant", "system", "operator"])
@pytest.mark.parametrize("statement", ["UPDATE {table} SET action = 'x'", "DELETE FROM {table}", "TRUNCATE {table}"])
@pytest.mark.parametrize("table", ["audit_events", "admin_events"])
async def test_no_role_of_the_program_can_change_it(
    state: AppState, database: Database, tenant: TenantClient, login: str, statement: str, table: str
) -> None:
    transactions = {
        "tenant": lambda: database.tenant(tenant.id),
        "system": database.system,
        "operator": state["admin_database"].operator,
    }
    with pytest.raises(DBAPIError, match="permission denied"):
        async with transactions[login]() as session:
            await session.execute(text(statement.format(table=table)))


@pytest.mark.parametrize("statement", ["UPDATE {table} SET action = 'x'", "DELETE FROM {table}", "TRUNCATE {table}"])
@pytest.mark.parametrize("table", ["audit_events", "admin_events"])
async def test_not_even_the_owner_does_by_mistake(addresses: ServiceAddresses, statement: str, table: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        await fetch(addresses.owner_url, statement.format(table=table))


async def test_pages_follow_each_other_newest_first(tenant: TenantClient) -> None:
    for number in range(3):
        await tenant.create_project(f"Docs {number}")
    whole = [event["id"] for event in await events(tenant)]
    assert whole == sorted(whole, reverse=True)
    seen, after = [], None
    while True:
        page = (await tenant.get("/audit", params={"limit": 2, **({"after": after} if after else {})})).json()
        seen += [event["id"] for event in page["events"]]
        after = page["next_after"]
        if after is None:
            break
    assert seen == whole


async def test_an_unknown_action_is_said_so(tenant: TenantClient) -> None:
    problem(await tenant.get("/audit", params={"action": "everything"}), 422, "validation_error")


async def test_administrators_deeds_are_listed_for_administrators(
    tenant: TenantClient, admin_key: str, admin_key_id: str
) -> None:
    answer = await tenant.http.get("/admin/audit", headers=bearer(admin_key), params={"action": "admin_key.created"})
    targets = {event["target"]: event for event in answer.json()["events"]}
    assert targets[admin_key_id]["details"] == {"name": "tests"}
    assert admin_key not in answer.text
