"""Whichever COMMIT of a worker loses its answer, the file is completed and charged once."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engines import build_engines
from support.commit_proxy import CommitProxy, Loss
from support.http_clients import TenantClient
from support.tenant_records import counter, rows_of
from support.usage_records import books_of
from support.workers_lost_answers import *  # noqa: F403  fixtures
from support.workers_lost_answers import BREAKS, LOSSES


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
