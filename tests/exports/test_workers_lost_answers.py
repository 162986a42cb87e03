"""Tests that an export is completed with one archive, whichever COMMIT of the worker loses its answer."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from support.commit_proxy import CommitProxy, Loss
from support.http_clients import TenantClient
from support.tenant_records import rows_of, stored_objects
from support.workers_lost_answers import *  # noqa: F403  fixtures
from support.workers_lost_answers import BREAKS, LOSSES


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
        # The export reads many pages, each in a transaction. It is enough to break every third one.
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
