"""Rebuilds indexes that a provider lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

import structlog

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.engine import RagEngine, StoreMaintenance

AT_ONCE = 4
log = structlog.get_logger(__name__)


class IndexRebuilder:
    """Rebuilds damaged indexes. It may run at any time and in any number of processes."""

    def __init__(self, database: Database, engines: Mapping[str, RagEngine]) -> None:
        self._database = database
        self._engines = engines

    async def run(self) -> None:
        """Rebuild until no index is left that is due."""
        for engine in self._engines.values():
            while isinstance(engine, StoreMaintenance) and (damaged := await engine.damaged(AT_ONCE)):
                await asyncio.gather(*(self.rebuild(engine, *index) for index in damaged))

    async def rebuild(self, engine: StoreMaintenance, tenant_id: UUID, project_id: UUID) -> None:
        """Rebuild one index unless another process does."""
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
        except Exception:  # whatever broke, the other indexes go on; the lease of this one brings it back
            log.exception("rebuild failed", project_id=str(project_id))
