"""A tenant of the hosted engine, and the worker whose steps the tests run themselves."""

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
    """A tenant of the hosted engine; `api` is its client, and only `processor` works on its files."""

    api: TenantClient
    processor: FileProcessor
    database: Database
    engine: OpenAIEngine

    async def upload(self, project: str, *files: tuple[str, bytes]) -> list[UUID]:
        """Upload files, which stay in the queue, and return their ids."""
        answer = await self.api.upload(project, *files, wait_seconds=0)
        assert answer.status_code == 200, answer.text
        return [UUID(file["id"]) for file in answer.json()["files"]]

    async def work(self, *file_ids: UUID) -> None:
        """Make one attempt on each file; a pause after an earlier failure is skipped."""
        for file_id in file_ids:
            await self.rows("UPDATE files SET lease_until = NULL WHERE id = :id", id=file_id)
            await self.processor.process(self.api.id, file_id)

    async def ingest(self, project: str, *files: tuple[str, bytes]) -> list[UUID]:
        """Upload files, make one attempt on each, and return their ids."""
        ids = await self.upload(project, *files)
        await self.work(*ids)
        return ids

    async def deletion(self, target: UUID) -> dict[str, object]:
        """Return the deletion of a file or project, as it is stored."""
        (row,) = await self.rows("SELECT * FROM deletions WHERE id = :id", id=target)
        return dict(row)

    async def remove_now(self, file: UUID) -> dict[str, object]:
        """Remove what a deleted file left, skipping a pause after an earlier failure, and return the deletion."""
        await self.rows("UPDATE deletions SET lease_until = NULL WHERE id = :id", id=file)
        await self.processor.delete(self.api.id, file)
        return await self.deletion(file)

    async def rebuild(self, project: str, *, later: bool = False) -> None:
        """Rebuild the project's index; with `later`, a pause after a failure or another lease has expired."""
        if later:
            await self.rows("UPDATE provider_stores SET lease_until = now() WHERE project_id = :id", id=project)
        rebuilder = IndexRebuilder(self.database, {self.engine.name: self.engine})
        await rebuilder.rebuild(self.engine, self.api.id, UUID(project))

    async def file(self, file_id: UUID) -> dict[str, Any]:
        """Return the row of a file."""
        (row,) = await self.rows("SELECT * FROM files WHERE id = :id", id=file_id)
        return row

    async def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Run a statement as the tenant, and return its rows."""
        return [dict(row) for row in await rows_of(self.database, self.api.id, statement, **values)]
