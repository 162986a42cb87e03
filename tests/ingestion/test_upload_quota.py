"""Tests that characters are charged exactly once, and never over the cap."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS
from fastapi_ignite.ingestion.processing import LONGEST_WAIT, FileProcessor
from fastapi_ignite.ingestion.tasks import process_file
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from support.http_clients import TenantClient, TenantFactory, client_for
from support.multipart_bodies import WatchedBody, send_body
from support.tenant_records import counter, make_plan, rows_of, stored_objects

ProcessorFactory = Callable[..., FileProcessor]
THIRTY = b"Thirty characters, no more. :-)"[:30]


async def nothing_indexed(database: Database, tenant: TenantClient) -> bool:
    rows = await rows_of(
        database,
        tenant.id,
        "SELECT (SELECT count(*) FROM documents) + (SELECT count(*) FROM chunks) + (SELECT count(*) FROM term_stats) n",
    )
    return bool(rows[0]["n"] == 0)


@pytest.mark.usefixtures("worker")
async def test_one_character_too_many_is_refused_whole(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=29))
    project = await tenant.create_project()
    answer = await tenant.upload(project, ("guide.txt", THIRTY))
    assert answer.status_code == 402
    problem = answer.json()
    assert problem["code"] == "quota_exceeded"
    assert (problem["metric"], problem["cap"], problem["used"], problem["requested"]) == ("characters", 29, 0, 30)
    assert problem["resets_at"].endswith("T00:00:00+00:00")
    (file,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    assert (file["status"], file["characters"]) == ("failed", None)
    assert file["last_error"] == {
        "code": "quota_exceeded",
        "message": problem["detail"],
        "stage": "extracting",
        "retryable": False,
    }
    assert await nothing_indexed(database, tenant)
    assert await counter(database, tenant.id, "characters") == (0, 0)


@pytest.mark.usefixtures("worker")
async def test_the_last_character_is_taken(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=30))
    project = await tenant.create_project()
    assert (await tenant.upload(project, ("guide.txt", THIRTY))).json()["batch_status"] == "completed"
    assert await counter(database, tenant.id, "characters") == (30, 0)


@pytest.mark.usefixtures("worker")
async def test_what_fits_is_taken_and_the_rest_says_why(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=40))
    project = await tenant.create_project()
    answer = await tenant.upload(project, ("fits.txt", THIRTY), ("over.txt", THIRTY * 2), ("over.md", THIRTY * 3))
    assert answer.status_code == 200
    body = answer.json()
    assert body["batch_status"] == "completed"
    assert body["file_counts"] == {"processed": 1, "in_progress": 0, "failed": 2, "cancelled": 0, "total": 3}
    assert [(file["last_error"] or {}).get("code") for file in body["files"]] == [None, *["quota_exceeded"] * 2]
    assert await counter(database, tenant.id, "characters") == (30, 0)
    (row,) = await rows_of(database, tenant.id, "SELECT count(*) AS documents FROM documents")
    assert row["documents"] == 1


@pytest.mark.usefixtures("worker")
async def test_with_no_character_left_the_body_is_not_read(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=30))
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", THIRTY))
    body = WatchedBody()
    answer = await send_body(tenant, await tenant.create_project("Empty"), body)
    assert (answer.status_code, answer.json()["code"], answer.json()["used"]) == (402, "quota_exceeded", 30)
    assert "retry-after" not in answer.headers, "nothing comes back before the month ends"
    assert body.taken == 0


@pytest.mark.usefixtures("worker")
async def test_with_no_character_left_equal_bytes_are_taken_and_no_others(
    make_tenant: TenantFactory, database: Database, settings: Settings
) -> None:
    """Equal bytes cost no characters. Of an upload without equal bytes, nothing is kept."""
    tenant = await make_tenant(await make_plan(database, characters=30))
    project = await tenant.create_project()
    await tenant.upload(project, ("guide.txt", THIRTY))
    answer = await tenant.upload(project, ("other.txt", THIRTY[::-1]))
    assert (answer.status_code, answer.json()["code"]) == (402, "quota_exceeded")
    assert stored_objects(settings, tenant.id) == [THIRTY]
    answer = await tenant.upload(project, ("copy.txt", THIRTY))
    (copy,) = answer.json()["files"]
    assert (copy["status"], copy["deduplicated"], copy["characters"]) == ("completed", True, 0)
    assert await counter(database, tenant.id, "characters") == (30, 0)
    answer = await tenant.upload(project, ("again.txt", THIRTY), ("new.txt", THIRTY[::-1]))
    assert [file["status"] for file in answer.json()["files"]] == ["completed", "failed"]


@pytest.mark.usefixtures("worker")
async def test_characters_that_are_only_held_may_come_back(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=30))
    project = await tenant.create_project()
    async with database.tenant(tenant.id) as session:
        held = await UsageService(session, tenant.id).reserve(Metric.CHARACTERS, 30, lifetime=None)
    answer = await tenant.upload(project, ("guide.txt", THIRTY))
    assert (answer.status_code, answer.json()["code"], answer.json()["reserved"]) == (402, "quota_exceeded", 30)
    assert int(answer.headers["retry-after"]) > 0
    async with database.tenant(tenant.id) as session:
        await UsageService(session, tenant.id).release(held)
    assert (await tenant.upload(project, ("guide.txt", THIRTY))).status_code == 200


async def test_without_a_subscription_the_body_is_not_read(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    await rows_of(database, tenant.id, "DELETE FROM subscriptions")
    body = WatchedBody()
    answer = await send_body(tenant, project, body)
    assert (answer.status_code, answer.json()["code"]) == (402, "subscription_required")
    assert body.taken == 0


@pytest.mark.usefixtures("worker")
async def test_ten_uploads_at_once_on_a_cap_of_three(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, characters=95))
    project = await tenant.create_project()
    texts = [THIRTY[:-2] + b"%02d" % number for number in range(10)]
    answers = await asyncio.gather(
        *(tenant.upload(project, (f"{number}.txt", content)) for number, content in enumerate(texts))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 3, 402: 7}
    assert await counter(database, tenant.id, "characters") == (90, 0)
    (row,) = await rows_of(database, tenant.id, "SELECT sum(char_count) AS stored FROM documents")
    assert row["stored"] == 90
    (row,) = await rows_of(
        database, tenant.id, "SELECT sum(amount) AS daily FROM usage_daily WHERE metric = 'characters'"
    )
    assert row["daily"] == 90


async def test_eight_workers_on_one_file_charge_once(
    tenant_without_worker: TenantClient, database: Database, processor: FileProcessor
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", THIRTY), wait_seconds=0)).json()["files"]
    await asyncio.gather(*(processor.process(tenant.id, UUID(file["id"])) for _ in range(8)))
    assert await counter(database, tenant.id, "characters") == (30, 0)
    (row,) = await rows_of(database, tenant.id, "SELECT state, attempt FROM files")
    assert (row["state"], row["attempt"]) == ("completed", 1)


@pytest.mark.usefixtures("worker")
async def test_messages_that_come_again_change_nothing(
    tenant: TenantClient, state: AppState, database: Database, processor: FileProcessor
) -> None:
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", THIRTY))).json()["files"]
    for _ in range(3):
        async with database.system() as session:
            state["jobs"].enqueue(session, process_file, tenant.id, UUID(file["id"]))
        await processor.process(tenant.id, UUID(file["id"]))
    (last,) = (await tenant.upload(project, ("next.txt", b"The queue is worked off in order."))).json()["files"]
    assert last["status"] == "completed"
    (row,) = await rows_of(database, tenant.id, "SELECT state, attempt FROM files WHERE id = :id", id=file["id"])
    assert (row["state"], row["attempt"]) == ("completed", 1)
    assert await counter(database, tenant.id, "characters") == (30 + last["characters"], 0)


@dataclass(frozen=True, slots=True)
class Twins:
    """Holds two queued files of equal bytes. The plan has room for only one, and no worker processes them."""

    tenant: TenantClient
    project: str
    first: UUID
    copy: UUID

    async def listed(self) -> list[dict[str, Any]]:
        """Return both files as the API shows them to the tenant."""
        listed = await self.tenant.get(f"/ingestion/projects/{self.project}/files")
        files: list[dict[str, Any]] = listed.json()["files"]
        return files


@pytest.fixture
async def twins(
    make_tenant: TenantFactory,
    engine_settings: Settings,
    state: AppState,
    unreachable_jobs: JobQueue,
    database: Database,
) -> AsyncGenerator[Twins]:
    tenant = await make_tenant(await make_plan(database, characters=30))
    async with client_for(engine_settings, {**state, "jobs": unreachable_jobs}) as client:
        tenant = TenantClient(tenant.id, client, tenant.headers)
        project = await tenant.create_project()
        upload = await tenant.upload(project, ("guide.txt", THIRTY), ("copy.txt", THIRTY), wait_seconds=0)
        yield Twins(tenant, project, *(UUID(file["id"]) for file in upload.json()["files"]))


async def test_a_copy_waits_for_its_twin_when_only_one_of_them_fits(
    twins: Twins, make_processor: ProcessorFactory, database: Database
) -> None:
    """The copy is free once its twin is completed, so it must not fail because both together do not fit."""
    tenant, twin, copy = twins.tenant, twins.first, twins.copy

    async def work_on_the_copy() -> None:
        await make_processor().process(tenant.id, copy)

    await make_processor(work_on_the_copy).process(tenant.id, twin)
    first, second = await twins.listed()
    assert (first["status"], second["status"]) == ("completed", "in_progress")
    await rows_of(database, tenant.id, "UPDATE files SET lease_until = now()")
    await work_on_the_copy()
    second = (await twins.listed())[1]
    assert (second["status"], second["deduplicated"], second["characters"]) == ("completed", True, 0)
    assert await counter(database, tenant.id, "characters") == (30, 0)


async def test_a_copy_whose_twin_takes_too_long_says_that_it_did_not_fit(
    twins: Twins, make_processor: ProcessorFactory, database: Database
) -> None:
    """For example, the twin may wait for a provider that is unavailable for hours."""
    tenant, twin, copy = twins.tenant, twins.first, twins.copy
    tried: list[str] = []

    async def work_on_the_copy() -> None:
        for _ in range(MAX_ATTEMPTS):
            await rows_of(database, tenant.id, "UPDATE files SET lease_until = NULL WHERE id = :id", id=copy)
            await make_processor().process(tenant.id, copy)
            (row,) = await rows_of(database, tenant.id, "SELECT state FROM files WHERE id = :id", id=copy)
            tried.append(row["state"])

    await make_processor(work_on_the_copy).process(tenant.id, twin)
    assert [state == "failed" for state in tried] == [*[False] * (MAX_ATTEMPTS - 1), True]
    first, second = await twins.listed()
    assert (first["status"], second["status"]) == ("completed", "failed")
    assert second["last_error"] == {
        "code": "quota_exceeded",
        "message": "The plan allows 30 characters. 30 are used or reserved, and 30 more were requested.",
        "stage": "extracting",
        "retryable": False,
    }
    (row,) = await rows_of(database, tenant.id, "SELECT last_error FROM files WHERE id = :id", id=copy)
    quota = row["last_error"]["quota"]
    assert (quota["metric"], quota["cap"], quota["requested"]) == ("characters", 30, 30)
    assert await counter(database, tenant.id, "characters") == (30, 0)


class LosingDatabase:
    """Commits, but loses the answer to each commit that reserves characters."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncGenerator[AsyncSession]:
        held = text("SELECT count(*) FROM files WHERE reservation_id IS NOT NULL AND state = 'chunking'")
        async with self._inner.tenant(tenant_id) as session:
            before = await session.scalar(held)
            yield session
            after = await session.scalar(held)
        if before == 0 and after == 1:
            raise ConnectionResetError


async def test_a_reservation_whose_answer_was_lost_ends_with_the_last_attempt(
    tenant_without_worker: TenantClient,
    database: Database,
    state: AppState,
    worker_engines: Mapping[str, RagEngine],
    unreachable_jobs: JobQueue,
) -> None:
    """The worker does not know that it has reserved characters."""
    tenant = tenant_without_worker
    project = await tenant.create_project()
    (file,) = (await tenant.upload(project, ("guide.txt", THIRTY), wait_seconds=0)).json()["files"]
    long_ago = clock.now() - LONGEST_WAIT  # after this time, a file fails instead of waiting for the end of an outage
    await rows_of(database, tenant.id, "UPDATE files SET queued_at = :then", then=long_ago)
    losing = cast("Database", LosingDatabase(database))
    worker = FileProcessor(database=losing, storage=state["storage"], engines=worker_engines, jobs=unreachable_jobs)
    await worker.process(tenant.id, UUID(file["id"]))
    (row,) = await rows_of(database, tenant.id, "SELECT state, reservation_id FROM files")
    assert (row["state"], row["reservation_id"] is None) == ("failed", False)
    assert await counter(database, tenant.id, "characters") == (0, 0)
