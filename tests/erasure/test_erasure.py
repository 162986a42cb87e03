"""Tests that an erased tenant is refused at once, and that a worker leaves nothing of it but what must stay."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx2
import pytest
from redis import Redis
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.infra.cache import cached
from fastapi_ignite.infra.db import Database
from fastapi_ignite.models import metadata
from isolation.sample_tenant import build_sample_tenant
from support.both_engines import ENGINES, of_the_local_engine
from support.erasures import STAYS, completed, erase
from support.http_clients import TenantClient, TenantFactory
from support.http_contract import problem
from support.tenant_leftovers import keys_left, objects_left, rows_left
from support.tenant_records import rows_of
from support.tokens import bearer

from openai_simulator.server import RunningSimulator

WORD = "wolverine"
ADDRESS = "127.0.0.1"


def provider_objects(simulator: RunningSimulator) -> set[str]:
    state = simulator.simulator.state
    return {each.id for each in state.vector_stores} | {each.id for each in state.files}


async def rows_in_system(database: Database, tenant_id: UUID, statement: str) -> list[tuple[Any, ...]]:
    """Return rows that the tenant itself does not see any more."""
    async with database.system() as session:
        return [tuple(row) for row in await session.execute(text(statement), {"tenant": tenant_id})]


@cached(key="sample:{number}", tags=["samples"])
async def cached_sample(tenant_id: UUID, number: int) -> int:
    del tenant_id
    return number


@pytest.mark.usefixtures("worker")
async def test_nothing_is_left_but_the_receipt_and_some_events(
    client: httpx2.AsyncClient,
    openai_client: httpx2.AsyncClient,
    settings: Settings,
    database: Database,
    redis: Redis,
    simulator: RunningSimulator,
) -> None:
    """A table that is new must be emptied too, or be named in `STAYS`: the tables come from the models."""
    sample = await build_sample_tenant(client, openai_client, settings, database, WORD)
    tenant = sample.tenant
    await cached_sample(tenant.id, 7)
    before = await rows_left(database, tenant.id)
    of_tenants = {name for name, table in metadata.tables.items() if "tenant_id" in table.columns} | {"tenants"}
    assert before.keys() == of_tenants, "the sample tenant must have a row in each table, or this proves nothing"
    assert objects_left(settings, tenant.id) > 1
    assert len(keys_left(redis, tenant.id)) > 1
    named = await rows_of(
        database,
        tenant.id,
        "SELECT provider_id FROM provider_files UNION ALL SELECT provider_id FROM provider_stores",
    )
    at_provider = {row["provider_id"] for row in named}
    assert at_provider <= provider_objects(simulator)
    assert bool(at_provider) == ("openai" in ENGINES)

    answer = await erase(tenant, confirm=f"The {WORD} family")
    assert (answer.status_code, answer.json()["id"], answer.json()["kind"]) == (202, str(tenant.id), "tenant")
    await completed(database, tenant)

    assert keys_left(redis, tenant.id) == []
    left = await rows_left(database, tenant.id)
    assert left.keys() == STAYS
    assert left["deletions"] == 1
    assert objects_left(settings, tenant.id) == 0
    assert at_provider & provider_objects(simulator) == set()
    events = await rows_of(database, tenant.id, "SELECT * FROM audit_events ORDER BY id")
    receipts = await rows_of(database, tenant.id, "SELECT * FROM deletions")
    assert {event["action"] for event in events} == {
        "tenant.created",
        "tenant.erased",
        "subscription.changed",
        "export.started",
    }
    stays = json.dumps([dict(row) for row in (*events, *receipts)], default=str)
    for personal in (WORD, ADDRESS):
        assert personal not in stays
    assert {event["actor_id"] for event in events} == {event["request_id"] for event in events} == {None}

    receipt = (await tenant.get(f"/deletions/{tenant.id}")).json()
    assert receipt["state"] == "completed"
    assert set(receipt["provider_ids"]) == at_provider
    assert receipt["kept_events"] == len(events)
    removed = receipt["removed"]
    assert removed["projects"] == len(ENGINES)
    assert removed["exports"] == 1
    assert (removed["files"], removed["conversations"], removed["messages"]) == (
        before["files"],
        before["conversations"],
        before["messages"],
    )
    counted = {"files", "conversations", "messages", "projects", "exports", "audit_events"}
    by_engines = {"documents", "chunks", "term_stats", "rag_indexes", "provider_files", "provider_stores"}
    others = sum(count for name, count in before.items() if name not in counted | by_engines)
    assert removed["other_rows"] >= others


@of_the_local_engine
async def test_it_is_refused_at_once_and_reads_only_its_receipt(
    tenant_without_worker: TenantClient, client: httpx2.AsyncClient, database: Database, admin_key: str
) -> None:
    tenant = tenant_without_worker
    elsewhere = TenantClient(tenant.id, client, tenant.headers)
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", b"The orchard."), wait_seconds=0)
    key = (await tenant.post("/api-keys", json={"name": "k", "role": "owner"})).json()["key"]
    deleted = await tenant.create_project("Other")
    await tenant.delete(f"/ingestion/projects/{deleted}")
    assert (await erase(tenant)).status_code == 202
    with_key = TenantClient(tenant.id, client, {"Authorization": f"Bearer {key}"})
    for caller in (tenant, elsewhere, with_key):
        for path in ("/limits/current", "/ingestion/projects", "/tenants/current", "/deletions", "/audit"):
            problem(await caller.get(path), 403, "tenant_erased")
        problem(await caller.upload(project, ("more.txt", b"text")), 403, "tenant_erased")
        problem(await caller.get(f"/deletions/{deleted}"), 404, "deletion_not_found")
        receipt = (await caller.get(f"/deletions/{tenant.id}")).json()
        assert (receipt["id"], receipt["kind"], receipt["state"]) == (str(tenant.id), "tenant", "in_progress")
    for table in ("files", "documents", "conversations", "messages"):
        assert await rows_of(database, tenant.id, f"SELECT 1 FROM {table}") == [], table  # noqa: S608  names above
    admin = bearer(admin_key)
    shown = (await client.get(f"/admin/deletions/{tenant.id}", headers=admin)).json()
    assert (shown["kind"], shown["state"]) == ("tenant", "in_progress")
    problem(await client.get(f"/admin/deletions/{deleted}", headers=admin), 404, "deletion_not_found")
    assert (await client.get(f"/admin/tenants/{tenant.id}", headers=admin)).json()["status"] == "erasing"


@of_the_local_engine
async def test_the_plan_and_what_was_reserved_end_with_the_answer(
    tenant_without_worker: TenantClient, database: Database
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", b"The orchard."), wait_seconds=0)
    await tenant.post("/tenants/export")
    await erase(tenant)
    (files,) = await rows_in_system(database, tenant.id, "SELECT DISTINCT state FROM files WHERE tenant_id = :tenant")
    assert files == ("cancelled",)
    (exports,) = await rows_in_system(database, tenant.id, "SELECT state FROM exports WHERE tenant_id = :tenant")
    assert exports == ("failed",)
    (ends,) = await rows_in_system(
        database, tenant.id, "SELECT ends_on <= current_date FROM subscriptions WHERE tenant_id = :tenant"
    )
    assert ends == (True,)
    held = await rows_in_system(
        database, tenant.id, "SELECT 1 FROM usage_counters WHERE tenant_id = :tenant AND (reserved > 0 OR used > 0)"
    )
    assert held == []


async def test_the_same_customer_begins_anew(
    tenant_without_worker: TenantClient, make_tenant: TenantFactory, remover: TenantRemover
) -> None:
    old = tenant_without_worker
    await old.create_project("Docs")
    await erase(old)
    await remover.run(old.id, old.id)
    again = await make_tenant()
    assert again.id != old.id
    assert (await again.get("/ingestion/projects")).json()["projects"] == []
    assert await again.create_project("Docs")
    assert (await again.get("/deletions")).json()["deletions"] == []
    problem(await again.get(f"/deletions/{old.id}"), 404, "deletion_not_found")
