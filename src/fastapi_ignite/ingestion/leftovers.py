"""Gives up what an unfinished file has left at a provider."""

from __future__ import annotations

from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.models import File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.rag.engine import StoreMaintenance


async def abandon_leftovers(database: Database, engine: StoreMaintenance, file: File, *states: FileState) -> bool:
    """Let nobody make a document of what the file left behind. Return False if it has none of the states.

    Raises:
        ProviderError: it is being made just now.
    """
    async with database.tenant(file.tenant_id) as session:
        if not await FileRepo(session, file.tenant_id).left_behind(file, states):
            return False
        await engine.abandon(session, file.tenant_id, file.project_id, file.sha256)
        return True
