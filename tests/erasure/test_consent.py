"""Tests of who may erase a tenant, how it is confirmed, and that an export comes first."""

from __future__ import annotations

import asyncio
from uuid import UUID

import httpx2
import pytest

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.processing import FileProcessor
from support.both_engines import of_the_local_engine
from support.erasures import erase, receipt_of
from support.http_clients import TenantClient
from support.http_contract import problem
from support.tenant_leftovers import rows_left
from support.tenant_records import rows_of
from support.tokens import bearer, signed

pytestmark = of_the_local_engine  # no engine is asked before the removal


@pytest.fixture
def exporter(database: Database, state: AppState) -> ExportProcessor:
    """Return a processor of exports, which the test calls in place of a worker."""
    return ExportProcessor(database=database, storage=state["storage"])


async def refused(answer: httpx2.Response, code: str, database: Database, tenant: TenantClient) -> httpx2.Response:
    """Check that nothing was erased."""
    problem(answer, 409, code)
    assert await rows_of(database, tenant.id, "SELECT 1 FROM deletions WHERE kind = 'tenant'") == []
    assert (await tenant.get("/tenants/current")).status_code == 200
    return answer


@pytest.mark.parametrize("confirm", ["Acme", "acme co", str(UUID(int=1))])
async def test_another_confirmation_erases_nothing(
    tenant_without_worker: TenantClient, database: Database, confirm: str
) -> None:
    tenant = tenant_without_worker
    await refused(await erase(tenant, confirm=confirm), "erasure_not_confirmed", database, tenant)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"without_export": True},
        {"confirm": ""},
        {"confirm": "x" * 201},
        {"confirm": "Acme Co", "without_export": "yes"},
        {"confirm": "Acme Co", "force": True},
    ],
)
async def test_a_malformed_request_erases_nothing(tenant_without_worker: TenantClient, body: dict[str, object]) -> None:
    tenant = tenant_without_worker
    problem(await tenant.post("/tenants/current/erase", json=body), 422, "validation_error")
    assert (await tenant.get("/tenants/current")).status_code == 200


async def test_the_name_confirms_it_too(tenant_without_worker: TenantClient) -> None:
    assert (await erase(tenant_without_worker, confirm=" Acme Co ")).status_code == 202


async def make_archive(tenant: TenantClient, exporter: ExportProcessor, *, include_files: bool = True) -> str:
    started = await tenant.post("/tenants/export", params={"include_files": include_files})
    export_id: str = started.json()["id"]
    await exporter.process(tenant.id, UUID(export_id))
    return export_id


async def download(tenant: TenantClient, export_id: str) -> None:
    assert (await tenant.get(f"/tenants/exports/{export_id}/download")).status_code == 200


async def test_a_whole_archive_has_to_be_downloaded_first(
    tenant_without_worker: TenantClient, processor: FileProcessor, exporter: ExportProcessor, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()

    async def required() -> str | None:
        answer = await refused(await erase(tenant, without_export=False), "export_required", database, tenant)
        export_id: str | None = answer.json()["export_id"]
        return export_id

    assert await required() is None
    await download(tenant, await make_archive(tenant, exporter, include_files=False))
    assert await required() is None, "an archive without the uploaded files is not whole"
    whole = await make_archive(tenant, exporter)
    assert await required() == whole
    await download(tenant, whole)
    (file,) = (await tenant.upload(project, ("guide.txt", b"The orchard."), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    assert await required() is None, "the upload is not in the archive"
    await download(tenant, await make_archive(tenant, exporter))
    await tenant.ask(project, "What is there?")
    assert await required() is None, "the question is not in the archive"
    last = await make_archive(tenant, exporter)
    await tenant.post("/tenants/export")  # a later one that nobody has downloaded changes nothing
    await download(tenant, last)
    assert (await erase(tenant, without_export=False)).status_code == 202


@pytest.mark.parametrize("role", ["admin", "member", "viewer"])
async def test_only_an_owner_may(tenant_without_worker: TenantClient, role: str) -> None:
    tenant = tenant_without_worker
    lesser = TenantClient(tenant.id, tenant.http, {"Authorization": f"Bearer {signed(str(tenant.id), role=role)}"})
    problem(await erase(lesser), 403, "insufficient_scope")


async def test_a_key_may_only_if_its_scopes_say_so(tenant_without_worker: TenantClient) -> None:
    tenant = tenant_without_worker

    async def with_key(**wanted: object) -> TenantClient:
        made = await tenant.post("/api-keys", json={"name": "k", "role": "owner", **wanted})
        return TenantClient(tenant.id, tenant.http, {"Authorization": f"Bearer {made.json()['key']}"})

    of_an_owner = await with_key()
    problem(await erase(of_an_owner), 403, "insufficient_scope")
    wanted = {"name": "k", "role": "owner", "scopes": ["tenant:erase"]}
    problem(await of_an_owner.post("/api-keys", json=wanted), 403, "insufficient_scope")
    assert (await erase(await with_key(scopes=["tenant:erase"]))).status_code == 202


async def test_erasing_twice_returns_one_receipt(
    tenant_without_worker: TenantClient, database: Database, remover: TenantRemover
) -> None:
    tenant = tenant_without_worker
    await tenant.create_project()
    answers = await asyncio.gather(*(erase(tenant) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["id"] for answer in answers} == {str(tenant.id)}
    requested = {answer.json()["requested_at"] for answer in answers}
    assert len(requested) == 1
    events = await rows_of(database, tenant.id, "SELECT 1 FROM audit_events WHERE action = 'tenant.erased'")
    assert len(events) == 1
    await remover.run(tenant.id, tenant.id)
    receipt = await receipt_of(database, tenant)
    for confirm in (str(tenant.id), "a name that nobody remembers"):
        again = await erase(tenant, confirm=confirm, without_export=False)
        assert (again.status_code, again.json()["state"], {again.json()["requested_at"]}) == (
            202,
            "completed",
            requested,
        )
    assert await receipt_of(database, tenant) == receipt


async def test_an_administrator_erases_and_reads_the_receipt(
    tenant_without_worker: TenantClient, database: Database, remover: TenantRemover, admin_key: str, admin_key_id: str
) -> None:
    tenant = tenant_without_worker
    admin = bearer(admin_key)
    path = f"/admin/tenants/{tenant.id}/erase"
    send = tenant.http.post
    body = {"confirm": "Acme Co", "without_export": True}
    problem(await send(path, headers=admin, json={**body, "confirm": "Acme"}), 409, "erasure_not_confirmed")
    problem(await send(path, headers=admin, json={"confirm": "Acme Co"}), 409, "export_required")
    problem(await send(f"/admin/tenants/{new_id()}/erase", headers=admin, json=body), 404, "tenant_not_found")
    await send(f"/admin/tenants/{tenant.id}/suspend", headers=admin, json={"reason": "Wilhelmina left."})
    answer = await send(path, headers=admin, json=body)
    assert (answer.status_code, answer.json()["id"]) == (202, str(tenant.id))
    problem(await tenant.get("/limits/current"), 403, "tenant_erased")
    listed = (await tenant.http.get(f"/admin/tenants/{tenant.id}", headers=admin)).json()
    assert listed["status"] == "erasing"
    await remover.run(tenant.id, tenant.id)
    problem(await tenant.http.get(f"/admin/tenants/{tenant.id}", headers=admin), 404, "tenant_not_found")
    receipt = (await tenant.http.get(f"/admin/deletions/{tenant.id}", headers=admin)).json()
    assert (receipt["state"], receipt["kind"]) == ("completed", "tenant")
    assert (await send(path, headers=admin, json=body)).json() == receipt
    events = {
        event["action"]: event
        for event in await rows_of(database, tenant.id, "SELECT * FROM audit_events WHERE actor_kind = 'admin'")
    }
    assert events.keys() == {"tenant.suspended", "subscription.changed", "tenant.erased"}
    assert {event["actor_id"] for event in events.values()} == {admin_key_id}
    assert events["tenant.suspended"]["details"] == {}
    assert events["tenant.erased"]["details"] == {"without_export": True}
    assert set(await rows_left(database, tenant.id)) == {"audit_events", "deletions"}
