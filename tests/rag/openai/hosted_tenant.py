"""A tenant of the hosted engine and the worker that its tests move by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.index_rebuild import IndexRebuilder
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from support.http_clients import TenantClient
from support.tenant_records import rows_of


@dataclass(frozen=True, slots=True)
class HostedTenant:
    """`api` calls as the tenant; no worker listens but `processor`."""

    api: TenantClient
    processor: FileProcessor
    database: Database
    engine: OpenAIEngine

    async def upload(self, project: str, *files: tuple[str, bytes]) -> list[UUID]:
        """Queue files; their ids."""
        answer = await self.api.upload(project, *files, wait_seconds=0)
        assert answer.status_code == 200, answer.text
        return [UUID(file["id"]) for file in answer.json()["files"]]

    async def work(self, *file_ids: UUID) -> None:
        """One attempt on each, at once even if it failed a moment ago."""
        for file_id in file_ids:
            await self.rows("UPDATE files SET lease_until = NULL WHERE id = :id", id=file_id)
            await self.processor.process(self.api.id, file_id)

    async def ingest(self, project: str, *files: tuple[str, bytes]) -> list[UUID]:
        """Upload and work."""
        ids = await self.upload(project, *files)
        await self.work(*ids)
        return ids

    async def rebuild(self, project: str, *, later: bool = False) -> None:
        """Make the project's index again. `later`: as if the pause after a failure, or a lease, were over."""
        if later:
            await self.rows("UPDATE provider_stores SET lease_until = now() WHERE project_id = :id", id=project)
        rebuilder = IndexRebuilder(self.database, {self.engine.name: self.engine})
        await rebuilder.rebuild(self.engine, self.api.id, UUID(project))

    async def file(self, file_id: UUID) -> dict[str, Any]:
        """Its row."""
        (row,) = await self.rows("SELECT * FROM files WHERE id = :id", id=file_id)
        return row

    async def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """As the tenant reads and writes."""
        return [dict(row) for row in await rows_of(self.database, self.api.id, statement, **values)]
