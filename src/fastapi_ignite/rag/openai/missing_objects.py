"""What the provider lost behind our back: told from other failures, and marked, so that it is rebuilt."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from prometheus_client import Counter

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.errors import ProviderError, StoreMissingError
from fastapi_ignite.rag.openai.repository import ProviderRepository
from fastapi_ignite.rag.openai.service import OpenAIService

LOST = Counter("ignite_provider_lost_total", "Objects that were gone at the provider", ["object"])
REBUILDING_SECONDS = 30
log = structlog.get_logger(__name__)


def rebuilding() -> StoreMissingError:
    """What callers hear until the project's documents can be searched again."""
    return StoreMissingError(
        "The project's vector store was gone at the provider and is being rebuilt; ask again later.",
        headers={"Retry-After": str(REBUILDING_SECONDS)},
    )


class MissingObjectDetector:
    """A 404 says that something is not there, but not what: the provider is asked before anything is marked."""

    def __init__(self, database: Database, service: OpenAIService) -> None:
        self._database = database
        self._service = service

    @asynccontextmanager
    async def detecting(self, tenant_id: UUID, project_id: UUID, provider_id: str) -> AsyncGenerator[None]:
        """Around calls that use the store."""
        try:
            yield
        except StoreMissingError as error:
            try:
                gone = await self.store_gone(tenant_id, project_id, provider_id)
            except ProviderError as unknown:  # the next call, or the reconciliation, will tell
                log.warning("not known whether the store is gone", code=unknown.code)
                raise error from None
            if gone:
                raise rebuilding() from error
            raise

    async def store_gone(self, tenant_id: UUID, project_id: UUID, provider_id: str) -> bool:
        """Whether the store is gone at the provider; then it is marked, by the first who notices."""
        if await self._service.has_store(provider_id):
            return False
        async with self._database.tenant(tenant_id) as session:
            marked = await ProviderRepository(session, tenant_id).lose_store(project_id, provider_id)
        if marked:
            LOST.labels("vector_store").inc()
            log.error("vector store gone at the provider", project_id=str(project_id), provider_id=provider_id)
        return True

    async def file_gone(self, tenant_id: UUID, file_id: UUID, provider_id: str) -> bool:
        """The same of a file."""
        if await self._service.has_file(provider_id):
            return False
        async with self._database.tenant(tenant_id) as session:
            await ProviderRepository(session, tenant_id).lose_file(file_id, provider_id)
        LOST.labels("file").inc()
        log.error("file gone at the provider", file_id=str(file_id), provider_id=provider_id)
        return True
