"""Whichever COMMIT of a worker loses its answer: the file or the export ends well, and is charged once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.core.config import Settings
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database, commit_outcome
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engines import build_engines
from support.commit_proxy import CommitProxy, Loss
from support.http_clients import TenantClient, TenantFactory, client_for
from support.tenant_records import counter, rows_of, stored_objects
from support.usage_records import books_of

# the worker's own process survives them: Dramatiq logs them, and the sweeper sends the row again
BREAKS = (OSError, SQLAlchemyError, CommitOutcomeUnknownError)
# without patience nobody knows what became of a COMMIT, and the server is there all the same for what comes next
LOSSES = pytest.mark.parametrize(
    ("loss", "patience"), [(Loss.ANSWER, 5), (Loss.ANSWER_AND_SERVER, 0.2), (Loss.ANSWER, 0), (Loss.COMMIT, 0)]
)


@pytest.fixture
async def proxy(
    addresses: ServiceAddresses, patience: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[CommitProxy]:
    monkeypatch.setattr(commit_outcome, "PATIENCE_SECONDS", patience)
    async with CommitProxy(addresses.worker_url) as opened:
        yield opened


@pytest.fixture
async def proxied(proxy: CommitProxy) -> AsyncGenerator[Database]:
    database = Database(proxy.url(), pool_size=3)
    yield database
    await database.close()


@pytest.fixture
async def tenant(make_tenant: TenantFactory, settings: Settings, state: AppState) -> AsyncGenerator[TenantClient]:
    """No worker but the test's hears of its files."""
    made = await make_tenant()
    unheard = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    async with client_for(settings, {**state, "jobs": unheard}) as client:
        yield TenantClient(made.id, client, made.headers)


@LOSSES
async def test_a_file_is_completed_and_charged_once(
    tenant: TenantClient,
    proxy: CommitProxy,
    proxied: Database,
    database: Database,
    state: AppState,
    settings: Settings,
    loss: Loss,
    patience: float,
) -> None:
    project = await tenant.create_project()
    worker = FileProcessor(
        database=proxied,
        storage=state["storage"],
        engines=build_engines(proxied, settings),
        jobs=JobQueue(make_broker("redis://127.0.0.1:1/0")),
    )
    number = characters = 0
    lost = 1
    while lost:
        content = f"The orchard {number} keeps nine apple trees.".encode()
        upload = await tenant.upload(project, (f"{number}.txt", content), wait_seconds=0)
        file_id = UUID(upload.json()["files"][0]["id"])
        characters += len(content)
        proxy.lose(loss, after=number)
        try:
            await worker.process(tenant.id, file_id)
        except BREAKS:
            assert (loss, patience) != (Loss.ANSWER, 5)
        lost = proxy.lost
        proxy.restore()
        await rows_of(database, tenant.id, "UPDATE files SET lease_until = now() WHERE lease_until IS NOT NULL")
        await worker.process(tenant.id, file_id)
        (row,) = await rows_of(database, tenant.id, "SELECT state, last_error FROM files WHERE id = :id", id=file_id)
        assert (row["state"], row["last_error"]) == ("completed", None)
        assert await counter(database, tenant.id, "characters") == (characters, 0)
        number += 1
    assert number > 5
    assert (await books_of(database, tenant.id)).add_up()


@LOSSES
async def test_an_export_is_completed_with_one_archive(
    tenant: TenantClient,
    proxy: CommitProxy,
    proxied: Database,
    database: Database,
    state: AppState,
    settings: Settings,
    loss: Loss,
    patience: float,
) -> None:
    worker = ExportProcessor(database=proxied, storage=state["storage"])
    number, lost = 0, 1
    while lost:
        export_id = UUID((await tenant.post("/tenants/export")).json()["id"])
        # of the many pages that it reads, one is as good as another
        proxy.lose(loss, after=number)
        try:
            await worker.process(tenant.id, export_id)
        except BREAKS:
            assert (loss, patience) != (Loss.ANSWER, 5)
        lost = proxy.lost
        proxy.restore()
        await rows_of(database, tenant.id, "UPDATE exports SET lease_until = now() WHERE lease_until IS NOT NULL")
        await worker.process(tenant.id, export_id)
        download = await tenant.get(f"/tenants/exports/{export_id}/download")
        assert (download.status_code, len(stored_objects(settings, tenant.id))) == (200, 1), download.text
        await rows_of(database, tenant.id, "UPDATE exports SET state = 'expired', lease_until = NULL")
        await worker.remove(tenant.id, export_id)
        assert stored_objects(settings, tenant.id) == []
        number += 3
