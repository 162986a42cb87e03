"""Tests of admin keys, and of how administrators list and suspend tenants."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fastapi_ignite.admin.service import AdminKeyService
from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.models import metadata
from support.databases import fetch
from support.http_clients import TenantClient, TenantFactory
from support.http_contract import Operation, operations, problem
from support.tokens import bearer, signed

OPERATIONS = [operation for operation in operations() if operation.path.startswith("/admin/")]
# of deletions only those of whole tenants
READABLE = {"audit_events", "deletions", "subscriptions", "tenants"}
UNREADABLE = sorted({name for name, table in metadata.tables.items() if "tenant_id" in table.columns} - READABLE)
CACHE_SECONDS = 1.1  # seconds after which no process has a tenant's access in its cache any more


@pytest.fixture
def admin(admin_key: str) -> dict[bytes, bytes]:
    return bearer(admin_key)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_it_takes_an_admin_key(tenant: TenantClient, operation: Operation, admin_key: str) -> None:
    api_key = (await tenant.post("/api-keys", json={"name": "k", "role": "owner"})).json()["key"]
    owner = signed(str(tenant.id), role="owner")
    wrong = admin_key[:-1] + ("0" if admin_key[-1] != "0" else "1")
    for headers in ({}, tenant.headers, bearer(owner), bearer(api_key), bearer(wrong), bearer("ign_admin_")):
        answer = await tenant.http.request(operation.method, operation.url(), headers=headers)
        problem(answer, 401, "invalid_token")


async def test_an_admin_key_is_no_tenants(tenant: TenantClient, admin: dict[bytes, bytes]) -> None:
    for path in ("/limits/current", "/audit", "/api-keys"):
        problem(await tenant.http.get(path, headers=admin), 401, "invalid_token")


class TestKeys:
    async def test_a_revoked_and_an_expired_one_are_refused_at_once(
        self, client: httpx2.AsyncClient, state: AppState, settings: Settings
    ) -> None:
        database = state["admin_database"]
        async with database.operator() as session:
            keys = AdminKeyService(session, settings)
            row, revoked = await keys.create("revoked", lifetime=None)
            _, expired = await keys.create("expired", lifetime=timedelta(microseconds=1))
        assert (await client.get("/admin/tenants", headers=bearer(revoked))).status_code == 200
        async with database.operator() as session:
            await AdminKeyService(session, settings).revoke(row.id)
        for key in (revoked, expired):
            problem(await client.get("/admin/tenants", headers=bearer(key)), 401, "invalid_token")

    async def test_it_is_stored_as_a_digest(self, admin_key: str, addresses: ServiceAddresses) -> None:
        rows = await fetch(addresses.owner_url, "SELECT admin_keys::text FROM admin_keys")
        assert rows
        assert not [row for (row,) in rows if admin_key in str(row) or admin_key.encode().hex() in str(row)]


class TestTheLogin:
    """These tests check that `ignite_admin` reads only what administrators need, and no content of tenants."""

    @pytest.mark.parametrize("table", UNREADABLE)
    async def test_it_reads_nothing_that_tenants_stored(self, state: AppState, table: str) -> None:
        with pytest.raises(DBAPIError, match="permission denied"):
            async with state["admin_database"].operator() as session:
                await session.execute(text(f"SELECT 1 FROM {table}"))  # noqa: S608  the names come from the models

    @pytest.mark.parametrize("role", ["ignite_tenant", "ignite_system", "ignite_search", "ignite_worker"])
    async def test_it_takes_no_other_role(self, state: AppState, role: str) -> None:
        async with state["admin_database"].engine.connect() as connection:
            with pytest.raises(DBAPIError, match="permission denied"):
                await connection.execute(text(f"SET ROLE {role}"))

    async def test_a_tenants_transaction_does_not_resume_its_tenant(
        self, state: AppState, tenant: TenantClient
    ) -> None:
        with pytest.raises(DBAPIError, match="permission denied"):
            async with state["database"].tenant(tenant.id) as session:
                await session.execute(text("UPDATE tenants SET suspended_at = NULL"))


class TestSuspension:
    async def test_every_operation_is_refused_and_nothing_is_lost(
        self, tenant: TenantClient, admin: dict[bytes, bytes]
    ) -> None:
        project = await tenant.create_project()
        key = (await tenant.post("/api-keys", json={"name": "k", "role": "owner"})).json()["key"]
        suspend = f"/admin/tenants/{tenant.id}/suspend"
        shown = (await tenant.http.post(suspend, headers=admin, json={"reason": "Invoice overdue."})).json()
        assert (shown["status"], shown["suspension_reason"]) == ("suspended", "Invoice overdue.")
        await asyncio.sleep(CACHE_SECONDS)
        for operation in operations():
            if not operation.for_tenants:
                continue
            for headers in (tenant.headers, bearer(key)):
                answer = await tenant.http.request(operation.method, operation.url(), headers=headers)
                problem(answer, 403, "tenant_suspended")
                assert "Invoice" not in answer.text, "the reason is the operator's note"
        resumed = (await tenant.http.post(f"/admin/tenants/{tenant.id}/resume", headers=admin)).json()
        assert (resumed["status"], resumed["suspended_at"]) == ("active", None)
        await asyncio.sleep(CACHE_SECONDS)
        assert (await tenant.get(f"/ingestion/projects/{project}/files")).status_code == 200

    async def test_others_are_not_touched(
        self, tenant: TenantClient, make_tenant: TenantFactory, admin: dict[bytes, bytes]
    ) -> None:
        other = await make_tenant()
        await tenant.http.post(f"/admin/tenants/{other.id}/suspend", headers=admin, json={"reason": "r"})
        await asyncio.sleep(CACHE_SECONDS)
        assert (await tenant.get("/limits/current")).status_code == 200
        assert (await other.get("/limits/current")).status_code == 403

    async def test_the_tenant_reads_who_did_it_and_why(
        self, tenant: TenantClient, admin: dict[bytes, bytes], admin_key_id: str
    ) -> None:
        for _ in range(2):
            await tenant.http.post(f"/admin/tenants/{tenant.id}/suspend", headers=admin, json={"reason": "Abuse."})
        for _ in range(2):
            await tenant.http.post(f"/admin/tenants/{tenant.id}/resume", headers=admin)
        await asyncio.sleep(CACHE_SECONDS)
        resumed, suspended, *_ = (await tenant.get("/audit")).json()["events"]
        assert (suspended["action"], suspended["details"]) == ("tenant.suspended", {"reason": "Abuse."})
        assert suspended["actor"] == {"kind": "admin", "id": admin_key_id}
        assert resumed["action"] == "tenant.resumed"

    @pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "a\x00"}, {"why": "x"}])
    async def test_it_wants_a_reason(
        self, tenant: TenantClient, admin: dict[bytes, bytes], body: dict[str, str]
    ) -> None:
        answer = await tenant.http.post(f"/admin/tenants/{tenant.id}/suspend", headers=admin, json=body)
        problem(answer, 422, "validation_error")

    @pytest.mark.parametrize("action", ["suspend", "resume"])
    async def test_an_unknown_tenant(self, client: httpx2.AsyncClient, admin: dict[bytes, bytes], action: str) -> None:
        answer = await client.post(f"/admin/tenants/{uuid4()}/{action}", headers=admin, json={"reason": "r"})
        problem(answer, 404, "tenant_not_found")


class TestTheList:
    async def test_it_finds_by_name_and_status_and_pages(
        self, client: httpx2.AsyncClient, admin: dict[bytes, bytes]
    ) -> None:
        mark = uuid4().hex
        made = []
        for number in range(3):
            answer = await client.post("/tenants/create", params={"name": f"{mark} 100%_{number}", "plan_id": "hobby"})
            made.append(answer.json()["tenant_id"])
        await client.post(f"/admin/tenants/{made[1]}/suspend", headers=admin, json={"reason": "r"})

        async def ids(**params: str | int) -> list[str]:
            answer = await client.get("/admin/tenants", headers=admin, params={"name": mark, **params})
            assert answer.status_code == 200, answer.text
            return [each["id"] for each in answer.json()["tenants"]]

        assert await ids() == made
        assert await ids(name=mark.upper()) == made
        assert await ids(name=f"{mark} 100%_") == made
        assert await ids(name=f"{mark}%") == []
        assert await ids(status="suspended") == [made[1]]
        assert await ids(status="active") == [made[0], made[2]]
        assert await ids(limit=2) == made[:2]
        assert await ids(limit=2, after=made[1]) == made[2:]

    async def test_one(self, tenant: TenantClient, admin: dict[bytes, bytes]) -> None:
        shown = (await tenant.http.get(f"/admin/tenants/{tenant.id}", headers=admin)).json()
        assert (shown["id"], shown["plan_id"], shown["status"]) == (str(tenant.id), "hobby", "active")
        problem(await tenant.http.get(f"/admin/tenants/{uuid4()}", headers=admin), 404, "tenant_not_found")
