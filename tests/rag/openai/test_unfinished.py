"""Files that are at the provider before they have a document, or that will never have one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from uuid import UUID

import httpx2
import pytest

from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.openai import repository
from fastapi_ignite.rag.openai.repository import ProviderRepository
from rag.openai.hosted_tenant import HostedTenant
from support.interrupted_engines import Event, InterruptedEngine
from support.tenant_records import eventually

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

SECRET = "The orchard keeps nine apple trees."
KEPT = "By our record, the orchard keeps nine apple trees and a pear."
QUESTION = "How many apple trees does the orchard keep?"
SAID = "There are nine apple trees in the orchard, says the record."
WorkerFactory = Callable[[Event], FileProcessor]


@pytest.fixture
def interrupted_worker(hosted: HostedTenant, state: AppState) -> WorkerFactory:
    """Return a function that makes a worker; it runs an event after the provider is done and before that is written."""

    def make(prepared: Event) -> FileProcessor:
        engines = InterruptedEngine(hosted.engine, prepared=prepared).alone()
        jobs = JobQueue(make_broker("redis://127.0.0.1:1/0"))
        return FileProcessor(database=hosted.database, storage=state["storage"], engines=engines, jobs=jobs)

    return make


def fail(provider: RunningSimulator, route: str, kind: str, **fault: object) -> None:
    provider.simulator.faults.add(Fault.model_validate({"route": route, "kind": kind, **fault}))


async def remove(hosted: HostedTenant, project: str, file: UUID) -> None:
    params = {"openai_file_id": str(file), "delete_raw": "true"}
    answer = await hosted.api.delete(f"/ingestion/projects/{project}/remove_file", params=params)
    assert answer.status_code == 200, answer.text


async def ask(hosted: HostedTenant, provider: RunningSimulator, project: str) -> httpx2.Response:
    fail(provider, "responses.create", "scripted", text=SAID, cited=True)
    answer = await hosted.api.ask(project, QUESTION)
    assert answer.status_code == 200, answer.text
    assert [cited["filename"] for cited in answer.json()["citations"]] == ["record.txt"]
    return answer


def names_at(provider: RunningSimulator) -> set[str]:
    return {file.id for file in provider.simulator.state.files}


async def test_a_file_in_progress_is_not_read(
    hosted: HostedTenant, provider: RunningSimulator, interrupted_worker: WorkerFactory
) -> None:
    """The model must not read it before its document is written, nor when nobody continues the work."""
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("record.txt", KEPT.encode()))
    alone = (await ask(hosted, provider, project)).json()
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    during: list[httpx2.Response] = []

    async def ask_now() -> None:
        assert provider.simulator.state.existing()["vector_store_files"] == 2
        during.append(await ask(hosted, provider, project))

    await interrupted_worker(ask_now).process(hosted.api.id, file)
    answer = during[0].json()
    assert (answer["answer"], answer["tokens_in"]) == (SAID, alone["tokens_in"])


async def test_of_very_many_in_progress_nothing_unproven_leaves(
    hosted: HostedTenant,
    provider: RunningSimulator,
    interrupted_worker: WorkerFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repository, "MOST_WITHDRAWN", 0)
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("record.txt", KEPT.encode()))
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    during: list[httpx2.Response] = []

    async def ask_now() -> None:
        during.append(await ask(hosted, provider, project))

    await interrupted_worker(ask_now).process(hosted.api.id, file)
    assert during[0].json()["answer"] == KEPT


async def test_a_file_removed_while_it_is_indexed_leaves_nothing(
    hosted: HostedTenant, provider: RunningSimulator, interrupted_worker: WorkerFactory
) -> None:
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("record.txt", KEPT.encode()))
    kept = names_at(provider)
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    sent: set[str] = set()

    async def remove_it() -> None:
        sent.update(names_at(provider) - kept)
        await remove(hosted, project, file)

    await interrupted_worker(remove_it).process(hosted.api.id, file)
    await hosted.processor.delete(hosted.api.id, file)
    row = await hosted.file(file)
    assert (row["state"], (await hosted.deletion(file))["provider_ids"]) == ("deleted", [*sent])
    assert len(sent) == 1
    assert names_at(provider) == kept
    assert provider.simulator.state.existing()["vector_store_files"] == 1
    assert (await ask(hosted, provider, project)).json()["answer"] == SAID
    assert len(await hosted.rows("SELECT 1 FROM provider_files")) == 1


async def test_its_worker_takes_away_what_it_made_after_the_removal(
    hosted: HostedTenant, provider: RunningSimulator
) -> None:
    """The worker learns of the removal only after the removing job has ended."""
    project = await hosted.api.create_project()
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    provider.simulator.behaviour.latency_seconds = {"vector_stores.create": 0.5}
    await hosted.rows("DELETE FROM provider_stores")
    working = asyncio.create_task(hosted.processor.process(hosted.api.id, file))

    async def chunked() -> bool:
        return bool((await hosted.file(file))["state"] == "chunking")

    await eventually(chunked)
    await remove(hosted, project, file)
    await hosted.processor.delete(hosted.api.id, file)
    assert (await hosted.file(file))["state"] == "deleted"
    await working
    assert provider.simulator.state.created()["files"] == 1
    assert names_at(provider) == set()
    assert await hosted.rows("SELECT 1 FROM provider_files") == []


async def test_a_removal_waits_for_an_upload_under_way(hosted: HostedTenant, provider: RunningSimulator) -> None:
    """The uploading worker has died: its lease lasts on, and then the file is found by its name."""
    project = await hosted.api.create_project()
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    fail(provider, "files.create", "reset", when="after")
    await hosted.work(file)
    (sent,) = names_at(provider)
    await hosted.rows("UPDATE provider_files SET lease_until = now() + interval '1 minute'")
    await remove(hosted, project, file)
    await hosted.processor.delete(hosted.api.id, file)
    assert (await hosted.file(file))["state"] == "deleting"
    await hosted.rows("UPDATE provider_files SET lease_until = now()")
    await hosted.remove_now(file)
    row = await hosted.file(file)
    assert (row["state"], (await hosted.deletion(file))["provider_ids"]) == ("deleted", [sent])
    assert names_at(provider) == set()
    assert await hosted.rows("SELECT 1 FROM provider_files") == []


async def uploaded_twice(hosted: HostedTenant, provider: RunningSimulator, project: str) -> list[UUID]:
    """Upload two files of equal bytes, the first of which has reached the provider."""
    files = await hosted.upload(project, ("one.txt", SECRET.encode()), ("other.txt", SECRET.encode()))
    fail(provider, "vector_stores.files.create", "status", status=503)
    await hosted.work(files[0])
    assert len(names_at(provider)) == 1
    return files


async def test_what_a_twin_will_need_stays(hosted: HostedTenant, provider: RunningSimulator) -> None:
    project = await hosted.api.create_project()
    one, other = await uploaded_twice(hosted, provider, project)
    await remove(hosted, project, one)
    await hosted.processor.delete(hosted.api.id, one)
    assert (await hosted.deletion(one))["provider_ids"] == []
    await hosted.work(other)
    assert (await hosted.file(other))["state"] == "completed"
    assert provider.simulator.state.created()["files"] == 1
    assert (await hosted.api.ask(project, QUESTION)).json()["answerable"]


async def test_of_twins_that_are_both_removed_nothing_stays(hosted: HostedTenant, provider: RunningSimulator) -> None:
    project = await hosted.api.create_project()
    files = await uploaded_twice(hosted, provider, project)
    (sent,) = names_at(provider)
    for file in files:
        await remove(hosted, project, file)
    await asyncio.gather(*(hosted.processor.delete(hosted.api.id, file) for file in files))
    receipts = [(await hosted.deletion(file))["provider_ids"] for file in files]
    assert [sent] in receipts
    assert names_at(provider) == set()


@pytest.mark.parametrize("route", ["vector_stores.files.delete", "files.delete"])
async def test_a_removal_that_ended_half_way_goes_on_beside_a_new_upload(
    hosted: HostedTenant, provider: RunningSimulator, route: str
) -> None:
    project = await hosted.api.create_project()
    (file, _) = await uploaded_twice(hosted, provider, project)
    (sent,) = names_at(provider)
    await hosted.rows("UPDATE files SET state = 'failed' WHERE id <> :id", id=file)
    await remove(hosted, project, file)
    fail(provider, route, "reset", when="after")
    await hosted.processor.delete(hosted.api.id, file)
    assert (await hosted.file(file))["state"] == "deleting"
    (again,) = await hosted.upload(project, ("again.txt", SECRET.encode()))
    await hosted.remove_now(file)
    row = await hosted.file(file)
    assert (row["state"], (await hosted.deletion(file))["provider_ids"]) == ("deleted", [sent])
    await hosted.work(again)
    assert (await hosted.file(again))["state"] == "completed"
    assert len(names_at(provider) - {sent}) == len(names_at(provider)) == 1


async def test_a_file_that_failed_for_good_leaves_nothing(hosted: HostedTenant, provider: RunningSimulator) -> None:
    project = await hosted.api.create_project()
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    fail(provider, "vector_stores.files.retrieve", "status", status=409, times=100)
    await hosted.work(*[file] * (MAX_ATTEMPTS - 1))
    assert len(names_at(provider)) == 1
    await hosted.work(file)
    assert (await hosted.file(file))["state"] == "failed"
    assert names_at(provider) == set()
    assert await hosted.rows("SELECT 1 FROM provider_files") == []


async def test_the_failed_twin_of_a_file_in_progress_takes_nothing_from_it(
    hosted: HostedTenant, provider: RunningSimulator, interrupted_worker: WorkerFactory
) -> None:
    project = await hosted.api.create_project()
    one, other = await hosted.upload(project, ("one.txt", SECRET.encode()), ("other.txt", SECRET.encode()))
    await hosted.rows("UPDATE files SET attempt = :tries WHERE id = :id", tries=MAX_ATTEMPTS, id=other)

    async def fail_the_other() -> None:
        await hosted.processor.process(hosted.api.id, other)
        assert (await hosted.file(other))["last_error"]["code"] == "attempts_exhausted"

    await interrupted_worker(fail_the_other).process(hosted.api.id, one)
    assert (await hosted.file(one))["state"] == "completed"
    assert provider.simulator.state.created()["files"] == 1


async def test_where_the_provider_fails_too_the_removal_takes_it(
    hosted: HostedTenant, provider: RunningSimulator
) -> None:
    project = await hosted.api.create_project()
    (file,) = await hosted.upload(project, ("secret.txt", SECRET.encode()))
    fail(provider, "vector_stores.files.retrieve", "status", status=409, times=100)
    fail(provider, "files.delete", "status", status=500)
    await hosted.work(*[file] * MAX_ATTEMPTS)
    (sent,) = names_at(provider)
    assert (await hosted.file(file))["state"] == "failed"
    await remove(hosted, project, file)
    await hosted.processor.delete(hosted.api.id, file)
    assert (await hosted.deletion(file))["provider_ids"] == [sent]
    assert names_at(provider) == set()


async def test_a_claim_that_comes_first_keeps_its_file(hosted: HostedTenant) -> None:
    """A file of equal bytes begins between the check for one and the removal."""
    project = await hosted.api.create_project()
    tenant_id, digest = hosted.api.id, sha256(SECRET.encode()).digest()
    async with hosted.database.tenant(tenant_id) as session:
        claimed = await ProviderRepository(session, tenant_id).claim_file(UUID(project), digest)
    assert claimed
    async with hosted.database.tenant(tenant_id) as session:
        assert not await ProviderRepository(session, tenant_id).abandon(UUID(project), digest)
    assert (await hosted.engine.discard(tenant_id, UUID(project), digest)).provider_ids == ()
    async with hosted.database.tenant(tenant_id) as session:
        assert await ProviderRepository(session, tenant_id).advance_file(claimed, provider_id="file-1")
