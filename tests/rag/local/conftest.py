"""Projects on a database of their own, so that no worker of another test embeds their passages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import UUID

import pytest

from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.local.engine import LocalEngine
from support.own_database import *  # noqa: F403  fixtures
from support.rag_projects import RagProject, RagProjectFactory


@pytest.fixture
async def rag_project(
    database: Database, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> AsyncGenerator[RagProjectFactory]:
    """Return a function that makes a project with an index, each for a new tenant."""
    engines: list[LocalEngine] = []

    async def make(*, embedder: str = "none", embedding: EmbeddingSettings | None = None) -> RagProject:
        tenant_id, project_id = await make_project()
        engine = LocalEngine(database, embedder, embedding)
        engines.append(engine)
        await engine.create_index(tenant_id, project_id)
        return RagProject(database, engine, tenant_id, project_id)

    yield make
    for engine in engines:
        await engine.close()


@pytest.fixture
async def nothing_left_to_embed(database: Database) -> None:
    """Embed what other tests have left behind."""
    engine = LocalEngine(database, embedder="minilm")
    while await engine.backfill_embeddings():
        pass
