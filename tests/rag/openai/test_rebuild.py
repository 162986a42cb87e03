"""Stores and files that have disappeared at the provider."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.index_rebuild import IndexRebuilder
from fastapi_ignite.ingestion.tasks import rebuild, rebuild_indexes
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.errors import StoreMissingError
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from fastapi_ignite.rag.openai.reconciliation import Reconciliation
from rag.openai.sample_project import SHEEP, TREES, SampleProject
from support.tenant_records import counter, eventually

from openai_simulator.faults import Fault


@pytest.mark.parametrize("how", ["expire", "vanish"])
async def test_a_store_that_is_gone_is_made_again_from_what_we_have(sample: SampleProject, how: str) -> None:
    before = await sample.store()
    await sample.lose(how)
    await sample.find_out_the_loss()
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)
    assert await sample.store() != before
    assert sample.created_counts() == (2, 2), "the files were still there"
    ensured = await sample.hosted.api.post(f"/ingestion/projects/{sample.project}/ensure_vector_store")
    assert (ensured.json()["vector_store_id"], ensured.json()["status"]) == (await sample.store(), "exists")
    assert await counter(sample.hosted.database, sample.hosted.api.id, "characters") == (len(TREES + SHEEP), 0)
    assert await counter(sample.hosted.database, sample.hosted.api.id, "messages") == (2, 0), "the refusals are free"


async def test_files_that_are_gone_too_are_sent_again(sample: SampleProject) -> None:
    await sample.lose("vanish")
    gone = (await sample.hosted.rows("SELECT provider_id FROM provider_files ORDER BY id"))[0]["provider_id"]
    sample.provider.simulator.state.remove_file(gone)
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)
    assert sample.created_counts() == (2, 3)
    assert await counter(sample.hosted.database, sample.hosted.api.id, "characters") == (len(TREES + SHEEP), 0)


async def test_of_all_who_notice_and_rebuild_at_once_one_does_it(sample: SampleProject) -> None:
    sample.provider.simulator.behaviour.latency_seconds = {"vector_stores.create": 0.1}
    await sample.lose("expire")
    await asyncio.gather(*(sample.find_out_the_loss() for _ in range(6)))
    await asyncio.gather(*(sample.hosted.rebuild(sample.project) for _ in range(5)))
    await sample.check_answers_from(TREES, SHEEP)
    assert sample.created_counts() == (2, 2)


@pytest.mark.parametrize("step", ["attached", "sent"])
async def test_a_file_removed_during_the_rebuild_stays_removed(sample: SampleProject, step: str) -> None:
    simulator = sample.provider.simulator
    await sample.lose("vanish")
    await sample.find_out_the_loss()
    if step == "sent":
        gone = (await sample.hosted.file(sample.files[1]))["document_id"]
        rows = await sample.hosted.rows("SELECT provider_id FROM provider_files WHERE document_id = :id", id=gone)
        simulator.state.remove_file(rows[0]["provider_id"])
    sample.fail("vector_stores.file_batches.create", "stuck")  # for a second; then they are attached again
    simulator.behaviour.latency_seconds = {"files.create": 1}
    rebuilding = asyncio.create_task(sample.hosted.rebuild(sample.project))

    async def under_way() -> bool:
        if step == "sent":
            return simulator.journal.calls["files.create"] > len(sample.files)
        return simulator.state.existing()["vector_store_files"] > 0

    await eventually(under_way)
    assert await sample.state() == "filling"
    await sample.find_out_the_loss()
    path = f"/ingestion/projects/{sample.project}/remove_file"
    await sample.hosted.api.delete(path, params={"openai_file_id": str(sample.files[1])})
    await sample.hosted.processor.delete(sample.hosted.api.id, sample.files[1])
    await rebuilding
    if await sample.state() != "ready":  # one file made the provider refuse the whole batch
        await sample.hosted.rebuild(sample.project, later=True)
    await sample.check_answers_from(TREES)
    assert (await sample.hosted.file(sample.files[1]))["state"] == "deleted"


async def test_an_upload_notices_waits_and_ends_in_the_new_store(sample: SampleProject) -> None:
    await sample.lose("expire")
    bees = "The garden has seven hives of bees."
    (file,) = await sample.hosted.ingest(sample.project, ("garden.txt", bees.encode()))
    row = await sample.hosted.file(file)
    assert (row["state"], row["waits"], row["last_error"]["code"]) == ("chunking", 1, "store_missing")
    assert await sample.state() == "lost"
    await sample.hosted.rebuild(sample.project)
    await sample.hosted.work(file)
    assert (await sample.hosted.file(file))["state"] == "completed"
    answer = await sample.hosted.api.ask(sample.project, "How many hives of bees are in the garden?")
    assert [cited["quote"] for cited in answer.json()["citations"]] == [bees]
    assert sample.created_counts() == (2, 3)


class SingleTenantEngine(OpenAIEngine):
    """An engine that sees the damaged stores of one tenant only, and none of other tests."""

    tenant_id: UUID

    async def damaged(self, limit: int) -> list[tuple[UUID, UUID]]:
        del limit
        return [each for each in await super().damaged(1000) if each[0] == self.tenant_id]


async def test_one_run_makes_all_again_that_is_lost(
    sample: SampleProject, database: Database, hosted_settings: Settings
) -> None:
    other = await sample.hosted.api.create_project("Other")
    await sample.hosted.ingest(other, ("orchard.txt", TREES.encode()))
    projects = (sample.project, other)
    for row in await sample.hosted.rows("SELECT provider_id FROM provider_stores"):
        sample.provider.simulator.state.remove_store(row["provider_id"])
    for project in projects:
        assert (await sample.hosted.api.ask(project, TREES)).status_code == 409
    engine = SingleTenantEngine(database, hosted_settings.openai)
    engine.tenant_id = sample.hosted.api.id
    await IndexRebuilder(database, {engine.name: engine}).run()
    await engine.close()
    for project in projects:
        assert (await sample.hosted.api.ask(project, TREES)).json()["answerable"]


async def test_the_scheduler_tells_a_worker(
    sample: SampleProject, addresses: ServiceAddresses, task_context: TaskContext
) -> None:
    url, _, number = addresses.redis_url.rpartition("/")
    broker = make_broker(f"{url}/{8 + int(number)}")  # no worker listens to this database number
    broker.flush(rebuild.queue)
    jobs = JobQueue(broker)
    context = replace(task_context, jobs=jobs)
    await sample.lose("expire")
    await sample.find_out_the_loss()
    await rebuild_indexes.run(context)
    await rebuild_indexes.run(context)
    assert await jobs.backlog(rebuild) == 1
    jobs.close()


async def test_a_store_lost_before_a_file_is_written_does_not_lose_the_file(
    sample: SampleProject, database: Database, engine: OpenAIEngine
) -> None:
    text = ExtractedText("The garden has seven hives of bees.", None, "text/plain")
    source = DocumentSource(sample.hosted.api.id, UUID(sample.project), new_id(), b"garden", text)
    early = await engine.prepare(source)
    await sample.lose("expire")
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    with pytest.raises(StoreMissingError):
        async with database.tenant(sample.hosted.api.id) as session:
            await early.write(session)
    await sample.hosted.rows("UPDATE provider_files SET lease_until = now()")
    late = await engine.prepare(source)
    async with database.tenant(sample.hosted.api.id) as session:
        await late.write(session)
    assert len(sample.attached(await sample.store())) == len(sample.files) + 1
    assert sample.created_counts() == (2, 3)


async def test_a_store_that_is_lost_while_it_is_filled_is_made_once_more(sample: SampleProject) -> None:
    simulator = sample.provider.simulator
    await sample.lose("expire")
    await sample.find_out_the_loss()
    sample.fail("vector_stores.file_batches.create", "stuck")
    rebuilding = asyncio.create_task(sample.hosted.rebuild(sample.project))

    async def under_way() -> bool:
        return simulator.journal.calls["vector_stores.file_batches.create"] > 0

    await eventually(under_way)
    (row,) = await sample.hosted.rows("SELECT provider_id FROM provider_stores")
    simulator.state.remove_store(row["provider_id"])
    await rebuilding
    assert await sample.state() == "lost"
    await sample.hosted.rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)
    assert sample.created_counts() == (3, 2)


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("vector_stores.create", {"kind": "status", "status": 500, "when": "after"}),
        ("vector_stores.file_batches.create", {"kind": "reset", "when": "after"}),
        ("vector_stores.file_batches.create", {"kind": "status", "status": 404}),
        ("vector_stores.file_batches.retrieve", {"kind": "status", "status": 429, "retry_after": 3}),
    ],
)
async def test_a_rebuild_that_failed_goes_on_later(sample: SampleProject, route: str, fault: dict[str, object]) -> None:
    sample.provider.simulator.faults.add(Fault.model_validate({"route": route, **fault}))
    await sample.lose("vanish")
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    assert await sample.state() in {"lost", "filling"}
    (due,) = await sample.hosted.rows("SELECT lease_until > now() AS later FROM provider_stores")
    assert due["later"], "a provider that fails is not asked again at once"
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project, later=True)
    await sample.check_answers_from(TREES, SHEEP)
    assert sample.created_counts() == (2, 2)


async def test_the_batch_that_answers_with_its_stores_id_and_the_stuck_file_end_well(sample: SampleProject) -> None:
    sample.fail("vector_stores.file_batches.retrieve", "store_id", times=3)
    sample.fail("vector_stores.file_batches.create", "stuck")
    await sample.lose("vanish")
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)


async def test_files_the_provider_refuses_hold_nobody_up(sample: SampleProject) -> None:
    sample.fail("vector_stores.file_batches.create", "file_failed", code="invalid_file")
    await sample.lose("vanish")
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    assert (await sample.hosted.api.ask(sample.project, TREES)).json()["answerable"] is False
    healthy = await sample.hosted.api.create_project("Healthy")
    await sample.hosted.api.post(f"/ingestion/projects/{healthy}/ensure_vector_store")
    await sample.hosted.rows("UPDATE provider_stores SET lease_until = now() WHERE project_id = :id", id=healthy)
    assert await sample.hosted.engine.rebuild(sample.hosted.api.id, UUID(healthy)) is None, "one that lacks nothing"
    damaged = await sample.hosted.engine.damaged(1000)
    assert (sample.hosted.api.id, UUID(sample.project)) not in damaged, "not at once again"
    await sample.hosted.rebuild(sample.project, later=True)
    await sample.check_answers_from(TREES, SHEEP)


async def test_the_reconciliation_finds_what_nobody_asked_for(
    sample: SampleProject, database: Database, engine: OpenAIEngine
) -> None:
    file = (await sample.hosted.rows("SELECT provider_id FROM provider_files ORDER BY id"))[0]["provider_id"]
    sample.provider.simulator.state.remove_file(file)
    await Reconciliation(database, engine.service, grace=timedelta(hours=2)).run()
    assert await sample.state() == "ready"
    await sample.hosted.rows("UPDATE provider_stores SET lease_until = now()")
    assert (sample.hosted.api.id, UUID(sample.project)) in await engine.damaged(1000)
    await sample.hosted.rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)
    assert sample.created_counts() == (1, 3)
    await sample.lose("expire")
    await engine.reconcile()
    assert await sample.state() == "lost"
    await sample.hosted.rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)
