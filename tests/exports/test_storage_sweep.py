"""Tests that the storage sweep keeps the archives of exports that have a row."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.storage_sweep import MIN_AGE_OF_UNKNOWN, POSITION, StorageSweep
from fastapi_ignite.ingestion.stored_files import StoredFiles
from fastapi_ignite.tasks import NAMED_KEYS
from support.http_clients import TenantClient


async def test_an_archive_goes_with_the_row_of_its_export(
    tenant_without_worker: TenantClient, database: Database, settings: Settings
) -> None:
    """While the row exists, the sweep keeps the archives: the removal of the export deletes those of all attempts."""
    storage = LocalStorage(settings.ignite.data_dir / "storage")
    export = (await tenant_without_worker.post("/tenants/export")).json()["id"]
    folder = settings.ignite.data_dir / "storage" / "objects" / str(tenant_without_worker.id) / "exports"
    folder.mkdir(parents=True)
    then = time.time() - (MIN_AGE_OF_UNKNOWN + timedelta(days=1)).total_seconds()
    for owner in (export, new_id()):
        (folder / f"{owner}.1.zip").write_bytes(b"an archive")
        os.utime(folder / f"{owner}.1.zip", (then, then))
    async with database.system() as session:
        await StoredFiles(session).set_position(POSITION, str(tenant_without_worker.id))
    await StorageSweep(database, storage, NAMED_KEYS).run()
    assert [path.name for path in folder.iterdir()] == [f"{export}.1.zip"]
