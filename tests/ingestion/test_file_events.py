"""Tests of the streams of events of files, batches and projects, behind a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
import uvicorn
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http import long_streams
from fastapi_ignite.http.server_protocol import BoundedProtocol
from fastapi_ignite.http.state import AppState, TenantAccess
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion import change_feed
from fastapi_ignite.ingestion.change_feed import START, ChangeFeed
from fastapi_ignite.ingestion.processing import FileProcessor
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, WithState, application, served_client
from support.tenant_records import eventually, rows_of

from openai_simulator.server import served

pytestmark = of_the_local_engine  # the events are the same, whatever engine processes the files
TEXT = b"The orchard keeps nine apple trees."


class Events:
    """Reads a stream of events; `id` is the id of the last one."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.id = ""

    async def next(self) -> tuple[str, dict[str, Any]]:
        fields: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self._lines:
                if not line and fields:
                    self.id = fields.get("id", self.id)
                    return fields["event"], json.loads(fields["data"])
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
        raise StopAsyncIteration

    async def rest(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        try:
            while True:
                found.append(await self.next())
        except StopAsyncIteration:
            return found


@asynccontextmanager
async def watching(tenant: TenantClient, path: str, **headers: str) -> AsyncGenerator[Events]:
    async with tenant.http.stream("GET", f"{path}/events", headers={**tenant.headers, **headers}) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer.aiter_lines())


@pytest.fixture
async def watcher(
    tenant_without_worker: TenantClient, engine_settings: Settings, state: AppState, unreachable_jobs: JobQueue
) -> AsyncGenerator[TenantClient]:
    """Return a tenant behind a real server that allows two streams, whose files the test processes."""
    limits = engine_settings.rate_limit.model_copy(update={"event_streams": 2})
    settings = engine_settings.model_copy(update={"rate_limit": limits})
    async with served_client(settings, {**state, "jobs": unreachable_jobs}) as client:
        yield replace(tenant_without_worker, http=client)


async def uploaded(tenant: TenantClient, project: str, count: int, prefix: str = "") -> dict[str, Any]:
    files = [(f"{prefix}{number}.txt", TEXT + f"{prefix}{number}".encode()) for number in range(count)]
    result: dict[str, Any] = (await tenant.upload(project, *files, wait_seconds=0)).json()
    return result


async def test_a_file_is_watched_until_it_is_finished(watcher: TenantClient, processor: FileProcessor) -> None:
    project = await watcher.create_project()
    file_id = (await uploaded(watcher, project, 1))["files"][0]["id"]
    path = f"/ingestion/projects/{project}/files/{file_id}"
    async with watching(watcher, path) as events:
        name, file = await events.next()
        assert (name, file["id"], file["status"], file["stage"], file["percentage"]) == (
            "file",
            file_id,
            "in_progress",
            "queued",
            0,
        )
        first = events.id
        await processor.process(watcher.id, UUID(file_id))
        rest = await events.rest()
        assert events.id not in {"", first}
    assert rest[-1] == ("done", {"status": "completed"})
    stages = [file["percentage"] for name, file in rest if name == "file"]
    assert stages == sorted(stages)
    assert stages[-1] == 100
    async with watching(watcher, path, **{"Last-Event-ID": first}) as events:
        again = await events.rest()
    assert [name for name, _ in again] == ["file", "done"]


async def test_a_batch_is_watched_and_a_reconnected_client_misses_nothing(
    watcher: TenantClient, processor: FileProcessor
) -> None:
    project = await watcher.create_project()
    upload = await uploaded(watcher, project, 3)
    ids = [file["id"] for file in upload["files"]]
    path = f"/ingestion/projects/{project}/batches/{upload['batch_id']}"
    async with watching(watcher, path) as events:
        told = [await events.next() for _ in range(4)]
        seen = events.id
    assert [name for name, _ in told] == ["file", "file", "file", "batch"]
    assert told[-1][1]["file_counts"]["in_progress"] == 3
    await processor.process(watcher.id, UUID(ids[1]))  # while the client is away
    async with watching(watcher, path, **{"Last-Event-ID": seen}) as events:
        name, file = await events.next()
        assert (name, file["id"], file["status"]) == ("file", ids[1], "completed")
        assert (await events.next())[1]["file_counts"]["processed"] == 1
        for file_id in (ids[0], ids[2]):
            await processor.process(watcher.id, UUID(file_id))
        rest = await events.rest()
    ended = {file["id"] for name, file in rest if name == "file" and file["status"] == "completed"}
    assert ended == {ids[0], ids[2]}
    assert [name for name, _ in rest[-2:]] == ["batch", "done"]
    assert rest[-2][1]["file_counts"]["processed"] == 3


async def test_a_project_tells_files_of_every_upload_and_removals(
    watcher: TenantClient, processor: FileProcessor
) -> None:
    project = await watcher.create_project()
    finished = (await uploaded(watcher, project, 1, "old"))["files"][0]["id"]
    await processor.process(watcher.id, UUID(finished))
    waiting = (await uploaded(watcher, project, 1, "new"))["files"][0]["id"]
    async with watching(watcher, f"/ingestion/projects/{project}") as events:
        assert (await events.next())[1]["id"] == waiting
        later = (await uploaded(watcher, project, 1, "later"))["files"][0]["id"]
        assert (await events.next())[1]["id"] == later
        await watcher.delete(f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": finished})
        _, removed = await events.next()
        assert (removed["id"], removed["status"], removed["stage"]) == (finished, "cancelled", "deleting")
        await watcher.patch(f"/ingestion/projects/{project}/files/{later}", json={"attributes": {"year": 2024}})
        _, changed = await events.next()
        assert (changed["id"], changed["stage"], changed["attributes"]) == (later, "queued", {"year": 2024})


async def test_a_change_that_is_committed_late_is_not_missed(
    tenant_without_worker: TenantClient, database: Database
) -> None:
    """An earlier transaction commits after a later one, whose change was told meanwhile."""
    tenant = tenant_without_worker
    project = await tenant.create_project()
    first, second = [UUID(file["id"]) for file in (await uploaded(tenant, project, 2))["files"]]
    feed = ChangeFeed(database, tenant.id, UUID(project))
    change = text("UPDATE files SET state = 'extracting' WHERE id = :id")

    async def look(position: str) -> tuple[list[UUID], str]:
        found = [file async for file in feed.since(position)]
        return [file.id for file in found], found[-1].position if found else position

    seen, position = await look(START)
    assert seen == [first, second]
    async with database.tenant(tenant.id) as slow:
        await slow.execute(change, {"id": first})
        await rows_of(database, tenant.id, "UPDATE files SET state = 'extracting' WHERE id = :id", id=second)
        seen, position = await look(position)
        assert seen == [second]
    seen, position = await look(position)
    assert seen == [first]
    assert await look(position) == ([], position)
    await rows_of(database, tenant.id, "UPDATE files SET lease_until = now()")  # a heartbeat is no change
    assert await look(position) == ([], position)


async def test_pages_of_one_look_lead_to_the_position_of_its_beginning(
    tenant_without_worker: TenantClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "PAGE_ROWS", 2)
    tenant = tenant_without_worker
    project = await tenant.create_project()
    ids = [UUID(file["id"]) for file in (await uploaded(tenant, project, 5))["files"]]
    feed = ChangeFeed(database, tenant.id, UUID(project))
    positions = [file.position async for file in feed.since(START)]
    assert positions[:-1] == [START] * 4
    assert positions[-1] != START
    await rows_of(database, tenant.id, "UPDATE files SET state = 'extracting'")
    changed = [file async for file in feed.since(positions[-1])]
    assert [file.id for file in changed] == ids
    assert {file.position for file in changed[:-1]} == {positions[-1]}


@pytest.mark.parametrize(
    "sent", ["", "x", "5:3:", "1:9:9", "3:9:7,5", "9:9:" + "1," * 900 + "1", "8" * 17 + ":" + "9" * 17 + ":"]
)
async def test_a_position_that_cannot_be_is_the_start(
    tenant_without_worker: TenantClient, database: Database, sent: str
) -> None:
    project = await tenant_without_worker.create_project()
    assert await ChangeFeed(database, tenant_without_worker.id, UUID(project)).resume(sent) == START


async def test_streams_are_bounded_and_their_places_freed(watcher: TenantClient) -> None:
    project = await watcher.create_project()
    await uploaded(watcher, project, 1)
    path = f"/ingestion/projects/{project}"
    async with watching(watcher, path) as one, watching(watcher, path) as two:
        await one.next()
        await two.next()
        refused = await watcher.get(f"{path}/events")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_event_streams")

    async def is_free() -> bool:
        return watcher.id not in long_streams._open

    await eventually(is_free)
    async with watching(watcher, path) as again:
        await again.next()


class Suspending:
    """Tells that tenants are suspended once `suspended` is set."""

    def __init__(self) -> None:
        self.suspended = False

    async def access(self, tenant_id: UUID) -> TenantAccess:
        del tenant_id
        return TenantAccess(rpm=10_000, suspended=self.suspended)


async def test_a_stream_ends_when_its_tenant_is_suspended(
    tenant_without_worker: TenantClient, engine_settings: Settings, state: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_streams, "RECHECK_SECONDS", 0.0)
    access = Suspending()
    project = await tenant_without_worker.create_project()
    await uploaded(tenant_without_worker, project, 1)
    async with served_client(engine_settings, {**state, "tenants": access}) as client:
        tenant = replace(tenant_without_worker, http=client)
        async with watching(tenant, f"/ingestion/projects/{project}") as events:
            await events.next()
            position = events.id
            access.suspended = True
            ((name, problem),) = await events.rest()
            assert (name, problem["code"], events.id) == ("error", "tenant_suspended", position)


async def test_a_stream_ends_when_the_server_stops(
    tenant_without_worker: TenantClient, engine_settings: Settings, state: AppState
) -> None:
    project = await tenant_without_worker.create_project()
    await uploaded(tenant_without_worker, project, 1)
    told: list[tuple[str, dict[str, Any]]] = []

    async def read_to_the_end() -> None:
        told.extend(await events.rest())

    app = WithState(application(engine_settings), {**state, "settings": engine_settings})
    config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None, timeout_graceful_shutdown=60)
    async with AsyncExitStack() as clients, served(config, before_stop=read_to_the_end) as origin:
        client = await clients.enter_async_context(httpx2.AsyncClient(base_url=f"{origin}/api/v1", timeout=90))
        tenant = replace(tenant_without_worker, http=client)
        events = await clients.enter_async_context(watching(tenant, f"/ingestion/projects/{project}"))
        assert (await events.next())[0] == "file"
    assert told == []
