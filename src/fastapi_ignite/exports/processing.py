"""Writes and removes archives in a worker. No transaction is open while storage is written."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter

from fastapi_ignite.core import clock
from fastapi_ignite.core.outages import outage_of
from fastapi_ignite.exports.archive import Archive, Entry
from fastapi_ignite.exports.models import IN_PROGRESS, Export, ExportState
from fastapi_ignite.exports.repository import ExportRepo
from fastapi_ignite.exports.sections import FILES, SECTIONS, ExportSection, upload_path
from fastapi_ignite.exports.storage_keys import storage_key
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS, StaleAttemptError, keep_lease, next_try
from fastapi_ignite.infra.storage import Storage

LIFETIME = timedelta(days=7)
PAGE_ROWS = 200
FORMAT = "fastapi-ignite-export/1"
FINISHED = Counter("ignite_exports_finished_total", "Exports that reached an end", ["state"])
log = structlog.get_logger(__name__)


class ExportProcessor:
    """Takes an export from `queued` to `completed` or `failed`, and removes an expired one."""

    def __init__(self, *, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage

    async def process(self, tenant_id: UUID, export_id: UUID) -> None:
        """Work on the export if nobody else does. It is safe to call at any time and any number of times."""
        async with self._database.tenant(tenant_id) as session:
            export = await ExportRepo(session, tenant_id).claim(
                export_id, states=IN_PROGRESS, state=ExportState.RUNNING
            )
        if export is None:
            return
        structlog.contextvars.bind_contextvars(
            tenant_id=str(tenant_id), export_id=str(export_id), attempt=export.attempt
        )
        try:
            if export.attempt > MAX_ATTEMPTS:
                await self._fail(export, code="attempts_exhausted", message="The export brought its worker down.")
                return
            async with keep_lease(partial(self._extend_lease, export)):
                await self._write(export)
        except StaleAttemptError:
            log.info("attempt overtaken")
        except Exception as error:
            log.exception("export attempt failed")
            await self._retry_later(export, error)

    async def remove(self, tenant_id: UUID, export_id: UUID) -> None:
        """Delete the archives of an expired export, then its row."""
        async with self._database.tenant(tenant_id) as session:
            export = await ExportRepo(session, tenant_id).claim(
                export_id, states=(ExportState.EXPIRED,), state=ExportState.EXPIRED
            )
        if export is None:
            return
        await self._delete_archives(export)
        async with self._database.tenant(tenant_id) as session:
            await ExportRepo(session, tenant_id).drop(export.id, export.attempt)
        FINISHED.labels("removed").inc()

    async def _delete_archives(self, export: Export) -> None:
        """Delete the archives of all earlier attempts. One that died may have left one that the row does not name."""
        for attempt in range(1, export.attempt):
            await self._storage.delete(storage_key(export.tenant_id, export.id, attempt))

    async def _write(self, export: Export) -> None:
        await self._delete_archives(export)
        writer = await self._storage.writer(storage_key(export.tenant_id, export.id, export.attempt))
        archive = Archive(writer, dated=clock.now())
        try:
            await self._fill(archive, export)
            stored = await writer.finish()
        except BaseException:
            archive.discard()
            await writer.abort()
            raise
        now = clock.now()
        try:
            await self._advance(
                export,
                state=ExportState.COMPLETED,
                lease_until=None,
                last_error=None,
                storage_key=stored.key,
                byte_count=stored.byte_count,
                sha256=stored.sha256,
                completed_at=now,
                expires_at=now + LIFETIME,
            )
        except StaleAttemptError:
            await self._storage.delete(stored.key)
            raise
        FINISHED.labels("completed").inc()
        log.info("export completed", bytes=stored.byte_count)

    async def _fill(self, archive: Archive, export: Export) -> None:
        contents = [await self._add_section(archive, export, section) for section in SECTIONS]
        manifest = {
            "format": FORMAT,
            "export_id": str(export.id),
            "tenant_id": str(export.tenant_id),
            "requested_at": export.created_at.isoformat(),
            "contents": contents,
            "uploads": await self._add_uploads(archive, export),
        }
        await archive.add("manifest.json", _once(json.dumps(manifest, indent=2).encode() + b"\n"))
        await archive.finish()

    async def _add_section(self, archive: Archive, export: Export, section: ExportSection) -> dict[str, Any]:
        began, count = clock.now(), 0

        async def lines() -> AsyncGenerator[bytes]:
            nonlocal count
            async for rows in self._pages(export, section):
                count += len(rows)
                yield b"".join(_line(_shown(row, export, section)) for row in rows)

        entry = await archive.add(f"{section.name}.jsonl", lines())
        return {
            "name": entry.name,
            "rows": count,
            "bytes": entry.byte_count,
            "sha256": entry.sha256,
            "read_from": began.isoformat(),
            "read_until": clock.now().isoformat(),
        }

    async def _pages(self, export: Export, section: ExportSection) -> AsyncGenerator[list[dict[str, Any]]]:
        """Yield the pages of a table. The transaction of a page ends before the page is written."""
        after = None
        while True:
            async with self._database.tenant(export.tenant_id) as session:
                rows = await ExportRepo(session, export.tenant_id).page(section, after=after, limit=PAGE_ROWS)
            if rows:
                yield rows
            if len(rows) < PAGE_ROWS:
                return
            after = section.place(rows[-1])

    async def _add_uploads(self, archive: Archive, export: Export) -> dict[str, Any]:
        """Add the uploads. `missing` are those that were lost, or removed after `files.jsonl` was written."""
        summary = {"included": export.include_files, "files": 0, "bytes": 0, "missing": 0}
        if not export.include_files:
            return summary
        async for rows in self._pages(export, FILES):
            for row in rows:
                entry = await self._add_upload(archive, row) if row["storage_key"] else None
                if entry:
                    summary["files"] += 1
                    summary["bytes"] += entry.byte_count
                elif row["storage_key"]:
                    summary["missing"] += 1
        return summary

    async def _add_upload(self, archive: Archive, row: dict[str, Any]) -> Entry | None:
        try:
            blocks = await self._storage.read(row["storage_key"])
        except FileNotFoundError:
            return None
        return await archive.add(upload_path(row["id"], row["filename"]), blocks)

    async def _advance(self, export: Export, **values: Any) -> None:
        async with self._database.tenant(export.tenant_id) as session:
            await ExportRepo(session, export.tenant_id).advance(export.id, export.attempt, **values)

    async def _extend_lease(self, export: Export) -> None:
        async with self._database.tenant(export.tenant_id) as session:
            await ExportRepo(session, export.tenant_id).extend_lease(export.id, export.attempt)

    async def _retry_later(self, export: Export, error: Exception) -> None:
        """Leave the export to the scheduler, which has it tried again later."""
        outage = outage_of(error)
        code = outage.error.code if outage else "internal_error"
        if export.attempt >= MAX_ATTEMPTS:
            await self._fail(export, code=code, message="The export could not be written.")
            return
        await self._end(export, lease_until=next_try(export.attempt), last_error={"code": code})

    async def _fail(self, export: Export, *, code: str, message: str) -> None:
        await self._end(
            export,
            state=ExportState.FAILED,
            lease_until=None,
            last_error={"code": code, "message": message, "retryable": True},
            expires_at=clock.now() + LIFETIME,
        )
        FINISHED.labels("failed").inc()
        log.info("export failed", code=code)

    async def _end(self, export: Export, **values: Any) -> None:
        try:
            await self._advance(export, **values)
        except StaleAttemptError:
            log.info("attempt overtaken")


def _shown(row: dict[str, Any], export: Export, section: ExportSection) -> dict[str, Any]:
    """Return the row with the path in the archive in place of the key in our storage."""
    if section is not FILES:
        return row
    shown = {name: value for name, value in row.items() if name != "storage_key"}
    in_archive = export.include_files and row["storage_key"]
    return {**shown, "path": upload_path(row["id"], row["filename"]) if in_archive else None}


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=_plain).encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date) else str(value)


async def _once(block: bytes) -> AsyncGenerator[bytes]:
    yield block
