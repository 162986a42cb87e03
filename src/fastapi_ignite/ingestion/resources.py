"""What the services of a tenant's files work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.models import Project
from fastapi_ignite.rag.engine import RagEngine


@dataclass(frozen=True, slots=True)
class TenantResources:
    """The services of one tenant's files share these objects during a request."""

    database: Database
    storage: Storage
    jobs: JobQueue
    engines: Mapping[str, RagEngine]
    settings: Settings
    tenant_id: UUID

    def engine_of(self, project: Project) -> RagEngine:
        """Return the engine that serves the project, or the default one while the project has no index.

        Raises:
            EngineMissingError: This installation cannot run the engine.
        """
        return engine_of(project.engine, self.engines, default=self.settings.default_engine)
