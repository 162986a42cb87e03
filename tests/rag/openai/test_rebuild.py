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
from rag.openai.losable_store import SHEEP, TREES, Scene
from support.tenant_records import counter, eventually

from openai_simulator.faults import Fault


@pytest.mark.parametrize("how", ["expire", "vanish"])
async def test_a_store_that_is_gone_is_made_again_from_what_we_have(scene: Scene, how: str) -> None:
    before = await scene.store()
    await scene.lose(how)
    await scene.notice()
    await scene.notice()
    await scene.hosted.rebuild(scene.project)
    await scene.assert_whole(TREES, SHEEP)
    assert await scene.store() != before
    assert scene.made() == (2, 2), "the files were still there"
    ensured = await scene.hosted.api.post(f"/ingestion/projects/{scene.project}/ensure_vector_store")
    assert (ensured.json()["vector_store_id"], ensured.json()["status"]) == (await scene.store(), "exists")
    assert await counter(scene.hosted.database, scene.hosted.api.id, "characters") == (len(TREES + SHEEP), 0)
    assert await counter(scene.hosted.database, scene.hosted.api.id, "messages") == (2, 0), "the refusals are free"


async def test_files_that_are_gone_too_are_sent_again(scene: Scene) -> None:
    await scene.lose("vanish")
    gone = (await scene.hosted.rows("SELECT provider_id FROM provider_files ORDER BY id"))[0]["provider_id"]
    scene.provider.simulator.state.remove_file(gone)
    await scene.notice()
    await scene.hosted.rebuild(scene.project)
    await scene.assert_whole(TREES, SHEEP)
    assert scene.made() == (2, 3)
    assert await counter(scene.hosted.database, scene.hosted.api.id, "characters") == (len(TREES + SHEEP), 0)


async def test_of_all_who_notice_and_rebuild_at_once_one_does_it(scene: Scene) -> None:
    scene.provider.simulator.behaviour.latency_seconds = {"vector_stores.create": 0.1}
    await scene.lose("expire")
    await asyncio.gather(*(scene.notice() for _ in range(6)))
    await asyncio.gather(*(scene.hosted.rebuild(scene.project) for _ in range(5)))
    await scene.assert_whole(TREES, SHEEP)
    assert scene.made() == (2, 2)


@pytest.mark.parametrize("step", ["attached", "sent"])
async def test_a_file_removed_during_the_rebuild_stays_removed(scene: Scene, step: str) -> None:
    simulator = scene.provider.simulator
    await scene.lose("vanish")
    await scene.notice()
    if step == "sent":
        gone = (await scene.hosted.file(scene.files[1]))["document_id"]
        rows = await scene.hosted.rows("SELECT provider_id FROM provider_files WHERE document_id = :id", id=gone)
        simulator.state.remove_file(rows[0]["provider_id"])
    scene.fail("vector_stores.file_batches.create", "stuck")  # for a second; then they are attached again
    simulator.behaviour.latency_seconds = {"files.create": 1}
    rebuilding = asyncio.create_task(scene.hosted.rebuild(scene.project))

    async def under_way() -> bool:
        if step == "sent":
            return simulator.journal.calls["files.create"] > len(scene.files)
        return simulator.state.existing()["vector_store_files"] > 0

    await eventually(under_way)
    assert await scene.state() == "filling"
    await scene.notice()
    path = f"/ingestion/projects/{scene.project}/remove_file"
    await scene.hosted.api.delete(path, params={"openai_file_id": str(scene.files[1])})
    await scene.hosted.processor.delete(scene.hosted.api.id, scene.files[1])
    await rebuilding
    if await scene.state() != "ready":  # one file made the provider refuse the whole batch
        await scene.hosted.rebuild(scene.project, later=True)
    await scene.assert_whole(TREES)
    assert (await scene.hosted.file(scene.files[1]))["state"] == "deleted"


async def test_an_upload_notices_waits_and_ends_in_the_new_store(scene: Scene) -> None:
    await scene.lose("expire")
    bees = "The garden has seven hives of bees."
    (file,) = await scene.hosted.ingest(scene.project, ("garden.txt", bees.encode()))
    row = await scene.hosted.file(file)
    assert (row["state"], row["waits"], row["last_error"]["code"]) == ("chunking", 1, "store_missing")
    assert await scene.state() == "lost"
    await scene.hosted.rebuild(scene.project)
    await scene.hosted.work(file)
    assert (await scene.hosted.file(file))["state"] == "completed"
    answer = await scene.hosted.api.ask(scene.project, "How many hives of bees are in the garden?")
    assert [cited["quote"] for cited in answer.json()["citations"]] == [bees]
    assert scene.made() == (2, 3)


class EngineOfOne(OpenAIEngine):
    """An engine that sees the damaged stores of one tenant only, and none of other tests."""

    tenant_id: UUID

    async def damaged(self, limit: int) -> list[tuple[UUID, UUID]]:
        del limit
        return [each for each in await super().damaged(1000) if each[0] == self.tenant_id]


async def test_one_run_makes_all_again_that_is_lost(
    scene: Scene, database: Database, hosted_settings: Settings
) -> None:
    other = await scene.hosted.api.create_project("Other")
    await scene.hosted.ingest(other, ("orchard.txt", TREES.encode()))
    projects = (scene.project, other)
    for row in await scene.hosted.rows("SELECT provider_id FROM provider_stores"):
        scene.provider.simulator.state.remove_store(row["provider_id"])
    for project in projects:
        assert (await scene.hosted.api.ask(project, TREES)).status_code == 409
    engine = EngineOfOne(database, hosted_settings.openai)
    engine.tenant_id = scene.hosted.api.id
    await IndexRebuilder(database, {engine.name: engine}).run()
    await engine.close()
    for project in projects:
        assert (await scene.hosted.api.ask(project, TREES)).json()["answerable"]


async def test_the_scheduler_tells_a_worker(
    scene: Scene, addresses: ServiceAddresses, task_context: TaskContext
) -> None:
    url, _, number = addresses.redis_url.rpartition("/")
    broker = make_broker(f"{url}/{8 + int(number)}")  # no worker listens to this database number
    broker.flush(rebuild.queue)
    jobs = JobQueue(broker)
    context = replace(task_context, jobs=jobs)
    await scene.lose("expire")
    await scene.notice()
    await rebuild_indexes.run(context)
    await rebuild_indexes.run(context)
    assert await jobs.backlog(rebuild) == 1
    jobs.close()


async def test_a_store_lost_before_a_file_is_written_does_not_lose_the_file(
    scene: Scene, database: Database, engine: OpenAIEngine
) -> None:
    text = ExtractedText("The garden has seven hives of bees.", None, "text/plain")
    source = DocumentSource(scene.hosted.api.id, UUID(scene.project), new_id(), b"garden", text)
    early = await engine.prepare(source)
    await scene.lose("expire")
    await scene.notice()
    await scene.hosted.rebuild(scene.project)
    with pytest.raises(StoreMissingError):
        async with database.tenant(scene.hosted.api.id) as session:
            await early.write(session)
    await scene.hosted.rows("UPDATE provider_files SET lease_until = now()")
    late = await engine.prepare(source)
    async with database.tenant(scene.hosted.api.id) as session:
        await late.write(session)
    assert len(scene.attached(await scene.store())) == len(scene.files) + 1
    assert scene.made() == (2, 3)


async def test_a_store_that_is_lost_while_it_is_filled_is_made_once_more(scene: Scene) -> None:
    simulator = scene.provider.simulator
    await scene.lose("expire")
    await scene.notice()
    scene.fail("vector_stores.file_batches.create", "stuck")
    rebuilding = asyncio.create_task(scene.hosted.rebuild(scene.project))

    async def under_way() -> bool:
        return simulator.journal.calls["vector_stores.file_batches.create"] > 0

    await eventually(under_way)
    (row,) = await scene.hosted.rows("SELECT provider_id FROM provider_stores")
    simulator.state.remove_store(row["provider_id"])
    await rebuilding
    assert await scene.state() == "lost"
    await scene.hosted.rebuild(scene.project)
    await scene.assert_whole(TREES, SHEEP)
    assert scene.made() == (3, 2)


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("vector_stores.create", {"kind": "status", "status": 500, "when": "after"}),
        ("vector_stores.file_batches.create", {"kind": "reset", "when": "after"}),
        ("vector_stores.file_batches.create", {"kind": "status", "status": 404}),
        ("vector_stores.file_batches.retrieve", {"kind": "status", "status": 429, "retry_after": 3}),
    ],
)
async def test_a_rebuild_that_failed_goes_on_later(scene: Scene, route: str, fault: dict[str, object]) -> None:
    scene.provider.simulator.faults.add(Fault.model_validate({"route": route, **fault}))
    await scene.lose("vanish")
    await scene.notice()
    await scene.hosted.rebuild(scene.project)
    assert await scene.state() in {"lost", "filling"}
    (due,) = await scene.hosted.rows("SELECT lease_until > now() AS later FROM provider_stores")
    assert due["later"], "a provider that fails is not asked again at once"
    await scene.notice()
    await scene.hosted.rebuild(scene.project, later=True)
    await scene.assert_whole(TREES, SHEEP)
    assert scene.made() == (2, 2)


async def test_the_batch_that_answers_with_its_stores_id_and_the_stuck_file_end_well(scene: Scene) -> None:
    scene.fail("vector_stores.file_batches.retrieve", "store_id", times=3)
    scene.fail("vector_stores.file_batches.create", "stuck")
    await scene.lose("vanish")
    await scene.notice()
    await scene.hosted.rebuild(scene.project)
    await scene.assert_whole(TREES, SHEEP)


async def test_files_the_provider_refuses_hold_nobody_up(scene: Scene) -> None:
    scene.fail("vector_stores.file_batches.create", "file_failed", code="invalid_file")
    await scene.lose("vanish")
    await scene.notice()
    await scene.hosted.rebuild(scene.project)
    assert (await scene.hosted.api.ask(scene.project, TREES)).json()["answerable"] is False
    healthy = await scene.hosted.api.create_project("Healthy")
    await scene.hosted.api.post(f"/ingestion/projects/{healthy}/ensure_vector_store")
    await scene.hosted.rows("UPDATE provider_stores SET lease_until = now() WHERE project_id = :id", id=healthy)
    assert await scene.hosted.engine.rebuild(scene.hosted.api.id, UUID(healthy)) is None, "one that lacks nothing"
    damaged = await scene.hosted.engine.damaged(1000)
    assert (scene.hosted.api.id, UUID(scene.project)) not in damaged, "not at once again"
    await scene.hosted.rebuild(scene.project, later=True)
    await scene.assert_whole(TREES, SHEEP)


async def test_the_reconciliation_finds_what_nobody_asked_for(
    scene: Scene, database: Database, engine: OpenAIEngine
) -> None:
    file = (await scene.hosted.rows("SELECT provider_id FROM provider_files ORDER BY id"))[0]["provider_id"]
    scene.provider.simulator.state.remove_file(file)
    await Reconciliation(database, engine.service, grace=timedelta(hours=2)).run()
    assert await scene.state() == "ready"
    await scene.hosted.rows("UPDATE provider_stores SET lease_until = now()")
    assert (scene.hosted.api.id, UUID(scene.project)) in await engine.damaged(1000)
    await scene.hosted.rebuild(scene.project)
    await scene.assert_whole(TREES, SHEEP)
    assert scene.made() == (1, 3)
    await scene.lose("expire")
    await engine.reconcile()
    assert await scene.state() == "lost"
    await scene.hosted.rebuild(scene.project)
    await scene.assert_whole(TREES, SHEEP)
