"""Detects and marks what the provider lost without our doing, so that it is rebuilt."""

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


def rebuilding_error() -> StoreMissingError:
    """Return the error for callers while the project's documents cannot be searched."""
    return StoreMissingError(
        "The project's vector store was gone at the provider and is being rebuilt; ask again later.",
        headers={"Retry-After": str(REBUILDING_SECONDS)},
    )


class MissingObjectDetector:
    """Asks the provider what is missing before anything is marked, since a 404 does not say that."""

    def __init__(self, database: Database, service: OpenAIService) -> None:
        self._database = database
        self._service = service

    @asynccontextmanager
    async def detecting(self, tenant_id: UUID, project_id: UUID, provider_id: str) -> AsyncGenerator[None]:
        """Wrap calls that use a store, to detect that it is lost."""
        try:
            yield
        except StoreMissingError as error:
            try:
                gone = await self.detect_lost_store(tenant_id, project_id, provider_id)
            except ProviderError as unknown:  # the next call, or the reconciliation, finds out
                log.warning("not known whether the store is gone", code=unknown.code)
                raise error from None
            if gone:
                raise rebuilding_error() from error
            raise

    async def detect_lost_store(self, tenant_id: UUID, project_id: UUID, provider_id: str) -> bool:
        """Return whether the store is gone at the provider, and mark it as lost if nobody else did."""
        if await self._service.has_store(provider_id):
            return False
        async with self._database.tenant(tenant_id) as session:
            marked = await ProviderRepository(session, tenant_id).mark_store_lost(project_id, provider_id)
        if marked:
            LOST.labels("vector_store").inc()
            log.error("vector store gone at the provider", project_id=str(project_id), provider_id=provider_id)
        return True

    async def detect_lost_file(self, tenant_id: UUID, file_id: UUID, provider_id: str) -> bool:
        """Return whether the file is gone at the provider, and mark it as lost."""
        if await self._service.has_file(provider_id):
            return False
        async with self._database.tenant(tenant_id) as session:
            await ProviderRepository(session, tenant_id).mark_file_lost(file_id, provider_id)
        LOST.labels("file").inc()
        log.error("file gone at the provider", file_id=str(file_id), provider_id=provider_id)
        return True
