"""Projects on a database of their own: what one test leaves to be embedded, no worker of another test embeds first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from uuid import UUID

import hypothesis
import pytest

from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.local.engine import LocalEngine
from support.databases import new_database
from support.rag_projects import RagProject, RagProjectFactory

# a busy machine is no failure
hypothesis.settings.register_profile("without a deadline", deadline=None)
hypothesis.settings.load_profile("without a deadline")


@pytest.fixture(scope="session")
def rag_addresses(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """At the head."""
    with new_database(addresses, template="template_migrated") as own:
        yield own


@pytest.fixture(scope="session")
async def database(rag_addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """In place of the one that the other tests share."""
    database = Database(rag_addresses.worker_url, pool_size=8, application_name="rag-tests")
    yield database
    await database.close()


@pytest.fixture
async def rag_project(
    database: Database, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
) -> AsyncGenerator[RagProjectFactory]:
    """Projects with an index, of a tenant each."""
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
async def nothing_waits(database: Database) -> None:
    """What other tests left behind is embedded first."""
    engine = LocalEngine(database, embedder="minilm")
    while await engine.backfill_embeddings():
        pass
