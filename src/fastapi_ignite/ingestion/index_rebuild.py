"""Indexes that a provider lost, made again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

import structlog

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.engine import RagEngine

AT_ONCE = 4
log = structlog.get_logger(__name__)


class IndexRebuilder:
    """May run at any time, any number of times, in any number of processes."""

    def __init__(self, database: Database, engines: Mapping[str, RagEngine]) -> None:
        self._database = database
        self._engines = engines

    async def run(self) -> None:
        """Until nothing is left whose turn it is."""
        for engine in self._engines.values():
            while damaged := await engine.damaged(AT_ONCE):
                await asyncio.gather(*(self.rebuild(engine, *index) for index in damaged))

    async def rebuild(self, engine: RagEngine, tenant_id: UUID, project_id: UUID) -> None:
        """One of them, unless somebody else does."""
        try:
            rebuilt = await engine.rebuild(tenant_id, project_id)
            if rebuilt is None:
                return
            async with self._database.tenant(tenant_id) as session:
                await rebuilt.write(session)
                await ProjectService(session, tenant_id).relink_index(
                    project_id, vector_store_id=rebuilt.vector_store_id
                )
        except StaleAttemptError:
            log.info("attempt overtaken", project_id=str(project_id))
        except Exception:  # whatever broke, it is this index's trouble: its lease brings it back
            log.exception("rebuild failed", project_id=str(project_id))
