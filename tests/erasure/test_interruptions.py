"""Tests of erasures that meet other work, and of removals that die or find a server away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import text

from erasure.conftest import RemoverFactory
from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.provider import Account, BillingProvider, PaymentStatus
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.core.config import Settings
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.http import long_streams
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.tasks import PERIODIC_JOBS
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.usage.rollup import UsageRollUp
from support.both_engines import of_the_local_engine
from support.erasures import STAYS, erase, receipt_of
from support.http_clients import TenantClient, TenantFactory, served_client
from support.http_contract import problem
from support.interrupted_engines import InterruptedEngine, interrupted
from support.multipart_bodies import HEADERS, paused_body
from support.tenant_leftovers import objects_left, rows_left
from support.tenant_records import rows_of, waits_for_a_lock

ORCHARD = b"The orchard keeps nine apple trees. "
QUESTION = "How many apple trees does the orchard keep?"
STEPS = [
    "_remove_projects",
    "_remove_objects",
    "_remove_exports",
    "_remove_rows",
    "_remove_tenant",
    "_remove_events",
]


async def filled(tenant: TenantClient, processor: FileProcessor) -> str:
    """Give the tenant a project with a file and a question, and return its id."""
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]
    await processor.process(tenant.id, UUID(file["id"]))
    assert (await tenant.ask(project, QUESTION)).json()["answerable"]
    return project


async def removed(database: Database, settings: Settings, remover: TenantRemover, tenant: TenantClient) -> None:
    """Erase in place of a worker, and check that nothing is left but what must stay."""
    await remover.run(tenant.id, tenant.id)
    receipt = await receipt_of(database, tenant)
    assert (receipt["state"], receipt["last_error"]) == ("completed", None)
    assert (await rows_left(database, tenant.id)).keys() == STAYS
    assert objects_left(settings, tenant.id) == 0


@pytest.mark.parametrize("step", STEPS)
async def test_a_removal_that_dies_after_any_step_is_ended_by_the_next(
    tenant_without_worker: TenantClient,
    processor: FileProcessor,
    database: Database,
    settings: Settings,
    remover: TenantRemover,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    tenant = tenant_without_worker
    await filled(tenant, processor)
    await erase(tenant)
    whole = getattr(TenantRemover, step)

    async def die(*arguments: Any) -> None:
        await whole(*arguments)
        raise OSError("the worker dies here")

    with monkeypatch.context() as patched:
        patched.setattr(TenantRemover, step, die)
        await remover.run(tenant.id, tenant.id)
    receipt = await receipt_of(database, tenant)
    assert (receipt["state"], receipt["last_error"]["code"]) == ("in_progress", "internal_error")
    problem(await tenant.get("/limits/current"), 403, "tenant_erased")
    await rows_of(database, tenant.id, "UPDATE deletions SET lease_until = now()")
    await removed(database, settings, remover, tenant)
    receipt = await receipt_of(database, tenant)
    counts = ("projects", "files", "bytes", "conversations", "messages")
    assert [receipt[name] for name in counts] == [1, 1, len(ORCHARD), 1, 2]


@of_the_local_engine  # no engine knows of stored bytes
async def test_an_upload_under_way_leaves_nothing(
    tenant_without_worker: TenantClient, database: Database, settings: Settings, remover: TenantRemover
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    begun, erased = asyncio.Event(), asyncio.Event()

    uploading = asyncio.create_task(
        tenant.post(
            f"/ingestion/projects/{project}/upload_and_attach", headers=HEADERS, content=paused_body(begun, erased)
        )
    )
    await begun.wait()
    assert (await erase(tenant)).status_code == 202
    await removed(database, settings, remover, tenant)
    erased.set()
    assert (await uploading).is_client_error
    assert (await rows_left(database, tenant.id)).keys() == STAYS
    assert objects_left(settings, tenant.id) == 0


async def test_a_file_that_is_being_indexed_leaves_nothing(
    tenant_without_worker: TenantClient,
    database: Database,
    settings: Settings,
    state: AppState,
    worker_engines: Mapping[str, RagEngine],
    engine_name: str,
    unreachable_jobs: JobQueue,
    remover: TenantRemover,
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)).json()["files"]

    async def erase_it() -> None:
        assert (await erase(tenant)).status_code == 202

    engine = InterruptedEngine(worker_engines[engine_name], prepared=erase_it)
    indexing = FileProcessor(database=database, storage=state["storage"], engines=engine.alone(), jobs=unreachable_jobs)
    await indexing.process(tenant.id, UUID(file["id"]))
    await removed(database, settings, remover, tenant)


@pytest.mark.parametrize("and_removed", [False, True], ids=["erased", "erased and removed"])
async def test_an_answer_that_is_being_made_does_not_leave(
    tenant_without_worker: TenantClient,
    processor: FileProcessor,
    engine_settings: Settings,
    settings: Settings,
    state: AppState,
    database: Database,
    remover: TenantRemover,
    *,
    and_removed: bool,
) -> None:
    tenant = tenant_without_worker
    project = await filled(tenant, processor)

    async def erase_it() -> None:
        await erase(tenant)
        if and_removed:
            await remover.run(tenant.id, tenant.id)

    async with interrupted(tenant, engine_settings, state, erase_it) as (asking, _):
        answer = await asking.ask(project, QUESTION)
    assert answer.is_client_error
    assert "nine" not in answer.text
    if not and_removed:
        await remover.run(tenant.id, tenant.id)
    assert (await rows_left(database, tenant.id)).keys() == STAYS
    assert objects_left(settings, tenant.id) == 0


@of_the_local_engine
async def test_a_streamed_answer_ends(
    tenant_without_worker: TenantClient, processor: FileProcessor, engine_settings: Settings, state: AppState
) -> None:
    tenant = tenant_without_worker
    project = await filled(tenant, processor)

    async def erase_it() -> None:
        await erase(tenant)

    async with (
        interrupted(tenant, engine_settings, state, erase_it) as (asking, _),
        asking.stream(project, QUESTION) as events,
    ):
        told = await events.until("error")
    assert told[-1][1]["code"] == "project_not_found"
    assert "done" not in {name for name, _ in told}


@of_the_local_engine
async def test_a_stream_of_events_ends(
    tenant_without_worker: TenantClient, engine_settings: Settings, state: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_streams, "RECHECK_SECONDS", 0.0)
    project = await tenant_without_worker.create_project()
    await tenant_without_worker.upload(project, ("guide.txt", ORCHARD), wait_seconds=0)
    async with served_client(engine_settings, state) as client:
        tenant = replace(tenant_without_worker, http=client)
        path = f"/ingestion/projects/{project}/events"
        async with client.stream("GET", path, headers=tenant.headers) as events:
            lines = events.aiter_lines()
            assert await anext(lines)
            await erase(tenant_without_worker)
            rest = [line async for line in lines]
    assert any("tenant_erased" in line for line in rest)


@of_the_local_engine
async def test_an_export_that_is_being_written_leaves_no_archive(
    tenant_without_worker: TenantClient,
    database: Database,
    settings: Settings,
    state: AppState,
    remover: TenantRemover,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = tenant_without_worker
    export = (await tenant.post("/tenants/export")).json()["id"]
    write = ExportProcessor._add_uploads

    async def erase_meanwhile(*arguments: Any) -> dict[str, Any]:
        await erase(tenant)
        await remover.run(tenant.id, tenant.id)
        return await write(*arguments)

    monkeypatch.setattr(ExportProcessor, "_add_uploads", erase_meanwhile)
    await ExportProcessor(database=database, storage=state["storage"]).process(tenant.id, UUID(export))
    assert objects_left(settings, tenant.id) == 0
    assert (await rows_left(database, tenant.id)).keys() == STAYS


@of_the_local_engine
async def test_a_removal_has_one_worker(
    tenant_without_worker: TenantClient, processor: FileProcessor, database: Database, remover: TenantRemover
) -> None:
    tenant = tenant_without_worker
    await filled(tenant, processor)
    await erase(tenant)
    await asyncio.gather(*(remover.run(tenant.id, tenant.id) for _ in range(3)))
    receipt = await receipt_of(database, tenant)
    assert (receipt["attempt"], receipt["state"], receipt["files"]) == (1, "completed", 1)


@of_the_local_engine
async def test_a_deletion_of_a_project_that_runs_meanwhile_does_no_harm(
    tenant_without_worker: TenantClient,
    processor: FileProcessor,
    database: Database,
    settings: Settings,
    remover: TenantRemover,
) -> None:
    tenant = tenant_without_worker
    project = await filled(tenant, processor)
    await tenant.delete(f"/ingestion/projects/{project}")
    await erase(tenant)
    others = "SELECT state FROM deletions WHERE kind <> 'tenant'"
    assert [row["state"] for row in await rows_of(database, tenant.id, others)] == ["completed"]
    await removed(database, settings, remover, tenant)
    assert await rows_of(database, tenant.id, others) == []
    assert (await receipt_of(database, tenant))["files"] == 1


class RecordingProvider:
    """Simulates a payment provider that can be away."""

    name = "recording"
    collects = True

    def __init__(self) -> None:
        self.accounts: list[Account] = []
        self.away = True

    async def sync(self, account: Account) -> PaymentStatus:
        if self.away:
            raise ConnectionError
        self.accounts.append(account)
        return PaymentStatus.PAID


@of_the_local_engine
async def test_the_payment_provider_is_told_of_the_end_before_the_subscription_is_removed(
    tenant_without_worker: TenantClient, database: Database, settings: Settings, make_remover: RemoverFactory
) -> None:
    tenant = tenant_without_worker
    provider = RecordingProvider()
    remover = make_remover(cast("BillingProvider", provider))
    await erase(tenant)
    await remover.run(tenant.id, tenant.id)
    assert (await rows_left(database, tenant.id))["subscriptions"] == 1
    provider.away = False
    await rows_of(database, tenant.id, "UPDATE deletions SET lease_until = now()")
    await removed(database, settings, remover, tenant)
    (account,) = provider.accounts
    assert account.tenant_id == tenant.id
    assert account.ends_on is not None
    assert account.ends_on <= date.today()  # noqa: DTZ011  the day of the subscription's end


@of_the_local_engine
async def test_while_redis_is_away_it_is_not_completed(
    tenant_without_worker: TenantClient, database: Database, settings: Settings, make_remover: RemoverFactory
) -> None:
    tenant = tenant_without_worker
    await erase(tenant)
    await make_remover(redis_url="redis://127.0.0.1:1/0").run(tenant.id, tenant.id)
    receipt = await receipt_of(database, tenant)
    assert receipt["state"] == "in_progress"
    assert receipt["last_error"]["message"] == "Something was not removed yet. It is tried again."
    await rows_of(database, tenant.id, "UPDATE deletions SET lease_until = now()")
    await removed(database, settings, make_remover(), tenant)


@of_the_local_engine
async def test_a_plan_cannot_be_taken_afterwards(
    tenant_without_worker: TenantClient, database: Database, remover: TenantRemover
) -> None:
    tenant = tenant_without_worker
    await erase(tenant)
    problem(await tenant.post("/billing/subscribe?plan_id=pro"), 403, "tenant_erased")
    await remover.run(tenant.id, tenant.id)
    problem(await tenant.post("/billing/subscribe?plan_id=pro"), 403, "tenant_erased")
    with pytest.raises(TenantNotFoundError):  # as a request that passed the check before
        async with database.tenant(tenant.id) as session:
            await BillingService(session, tenant.id).subscribe(plan_id="pro", cycle=BillingCycle.MONTHLY)
    assert (await rows_left(database, tenant.id)).keys() == STAYS


@of_the_local_engine
async def test_periodic_jobs_and_late_messages_find_nothing(
    tenant_without_worker: TenantClient,
    processor: FileProcessor,
    database: Database,
    remover: TenantRemover,
    task_context: TaskContext,
    state: AppState,
) -> None:
    tenant = tenant_without_worker
    project = await filled(tenant, processor)
    (file,) = (await tenant.upload(project, ("late.txt", b"Late."), wait_seconds=0)).json()["files"]
    await tenant.post("/billing/cancel")
    await erase(tenant)
    await remover.run(tenant.id, tenant.id)
    before = await rows_left(database, tenant.id)
    for job in PERIODIC_JOBS:
        await job.run(task_context)
    await processor.process(tenant.id, UUID(file["id"]))
    await processor.delete(tenant.id, UUID(file["id"]))
    exports = ExportProcessor(database=database, storage=state["storage"])
    await exports.process(tenant.id, UUID(file["id"]))
    await remover.run(tenant.id, tenant.id)
    assert await rows_left(database, tenant.id) == before


@of_the_local_engine
async def test_a_roll_up_of_usage_leaves_out_a_tenant_that_vanishes_meanwhile(
    make_tenant: TenantFactory, database: Database, addresses: ServiceAddresses
) -> None:
    tenant = await make_tenant()
    await tenant.create_project()
    async with database.system() as session:
        await session.execute(text("DELETE FROM tenants WHERE id = :id"), {"id": tenant.id})
        rolling_up = asyncio.create_task(UsageRollUp(database).run())
        await waits_for_a_lock(addresses, "%usage_monthly%")
    await rolling_up
    assert "usage_monthly" not in await rows_left(database, tenant.id)
