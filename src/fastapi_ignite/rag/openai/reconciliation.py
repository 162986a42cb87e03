"""Removes objects of ours at the provider that no row names, and marks rows whose object is gone.

A crash, or an answer that came after its caller had given up, can leave an object that no row names. A store can
expire, and an account's owner can remove what rows name.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, inspect, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.openai.missing_objects import MissingObjectDetector
from fastapi_ignite.rag.openai.models import ProviderFile, ProviderStore
from fastapi_ignite.rag.openai.repository import ProviderRepository
from fastapi_ignite.rag.openai.service import OpenAIService

STORE_KEY = "ignite_store"
INSTALLATION_KEY = "ignite_installation"
# longer than any attempt lasts: younger objects may be somebody's work
GRACE = timedelta(hours=2)
ROWS = 500
Row = TypeVar("Row", ProviderStore, ProviderFile)
log = structlog.get_logger(__name__)


async def installation_of(session: AsyncSession) -> str:
    """Return an id that tells our objects from those of other installations that share the account."""
    identity = await session.scalar(
        text("SELECT system_identifier::text || '/' || current_database() FROM pg_control_system()")
    )
    return hashlib.sha256(str(identity).encode()).hexdigest()[:16]


class Reconciliation:
    """Compares the account with the database, at any time. A restored copy of a database needs its own account."""

    def __init__(self, database: Database, service: OpenAIService, *, grace: timedelta = GRACE) -> None:
        self._database = database
        self._grace = grace
        self._service = service
        self._missing_objects = MissingObjectDetector(database, service)

    async def run(self) -> int:
        """Remove and mark, and return the number of objects removed."""
        async with self._database.system() as session:
            installation = await installation_of(session)
        before = clock.now() - self._grace
        removed = await self._stores(installation, before)
        removed += await self._abandoned(before)
        removed += await self._files(installation, before)
        if removed:
            log.warning("orphans removed at the provider", count=removed)
        return removed

    async def _stores(self, installation: str, before: datetime) -> int:
        """Remove stores of projects that are gone, and second stores of one attempt."""
        found: dict[str, UUID] = {}
        usable: set[str] = set()
        async with aclosing(self._service.stores()) as stores:
            async for store in stores:
                if store.status != "expired":
                    usable.add(store.id)
                metadata = store.metadata or {}
                row_id = _as_uuid(metadata.get(STORE_KEY, ""))
                if metadata.get(INSTALLATION_KEY) == installation and row_id and store.created_at < before.timestamp():
                    found[store.id] = row_id
        await self._mark_lost_stores(usable)
        orphans = await self._orphans(ProviderStore, found)
        for store_id in orphans:
            await self._service.delete_store(store_id)
        return len(orphans)

    async def _files(self, installation: str, before: datetime) -> int:
        found: dict[str, UUID] = {}
        present: set[str] = set()
        async with aclosing(self._service.files()) as files:
            async for file in files:
                present.add(file.id)
                row_id = ProviderFile.id_in(file.filename, installation)
                if row_id and file.created_at < before.timestamp():
                    found[file.id] = row_id
        await self._mark_lost_files(present)
        orphans = await self._orphans(ProviderFile, found)
        for file_id in orphans:
            await self._service.delete_file(file_id)
        return len(orphans)

    async def _orphans(self, model: type[ProviderStore | ProviderFile], found: Mapping[str, UUID]) -> list[str]:
        """Return the provider's objects whose row is gone or names another object."""
        async with self._database.system() as session:
            rows = await session.execute(
                select(model.id, model.provider_id).where(model.id == any_(literal([*found.values()], ARRAY(Uuid))))
            )
            known = {row.id: row.provider_id for row in rows}
        return [each for each, row_id in found.items() if not _is_wanted(each, row_id, known)]

    async def _mark_lost_stores(self, usable: Collection[str]) -> None:
        """Mark lost stores. The list may be older than a store, so the provider is asked for each that is not in it."""
        async with aclosing(self._rows(ProviderStore, ProviderStore.provider_id.is_not(None))) as stores:
            async for store in stores:
                if store.provider_id and store.provider_id not in usable:
                    await self._missing_objects.detect_lost_store(store.tenant_id, store.project_id, store.provider_id)

    async def _mark_lost_files(self, present: Collection[str]) -> None:
        """Mark lost files. Files of a lost store are checked when it is rebuilt."""
        async with aclosing(self._rows(ProviderFile, (ProviderFile.state == "ready") & ProviderFile.attached)) as files:
            async for file in files:
                if file.provider_id and file.provider_id not in present:
                    await self._missing_objects.detect_lost_file(file.tenant_id, file.id, file.provider_id)

    async def _rows(self, model: type[Row], condition: ColumnElement[bool]) -> AsyncGenerator[Row]:
        """Yield the rows page by page, since the provider is asked in between."""
        key = tuple_(*inspect(model).primary_key)
        page = select(model).where(condition).order_by(key).limit(ROWS)
        rest = page
        while True:
            async with self._database.system() as session:
                rows = (await session.scalars(rest)).all()
            for row in rows:
                yield row
            if len(rows) < ROWS:
                return
            rest = page.where(key > tuple_(*inspect(model).primary_key_from_instance(rows[-1])))

    async def _abandoned(self, before: datetime) -> int:
        """Remove files whose document was never written, since its upload failed or was removed meanwhile."""
        async with self._database.system() as session:
            rows = (
                await session.scalars(
                    select(ProviderFile)
                    .where(ProviderFile.document_id.is_(None), ProviderFile.lease_until < before)
                    .limit(ROWS)
                    .with_for_update(skip_locked=True)
                )
            ).all()
            for row in rows:
                row.state = "removing"  # an attempt that begins now makes a file of its own
        for row in rows:
            if row.provider_id:
                await self._service.delete_file(row.provider_id)
            async with self._database.tenant(row.tenant_id) as session:
                await ProviderRepository(session, row.tenant_id).delete_file(row.id)
        return len(rows)


def _is_wanted(provider_id: str, row_id: UUID, known: dict[UUID, str | None]) -> bool:
    """Return whether a row names the object, or names none yet and may be about to name this one."""
    return row_id in known and known[row_id] in {None, provider_id}


def _as_uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
