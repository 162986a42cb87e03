from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import State
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engines import build_engines
from http_clients import TenantClient, TenantFactory, client_for


@pytest.fixture(scope="session")
def unreachable_jobs() -> JobQueue:
    """A queue whose Redis is away: uploads are accepted and no worker is told."""
    return JobQueue(make_broker("redis://127.0.0.1:1/0"))


@pytest.fixture(scope="session")
def processor(database: Database, state: State, unreachable_jobs: JobQueue) -> FileProcessor:
    """A worker's hands, moved by the test."""
    return FileProcessor(
        database=database,
        storage=state["storage"],
        engines=build_engines(database, embedder="minilm"),
        jobs=unreachable_jobs,
    )


@pytest.fixture
async def unheard_tenant(
    make_tenant: TenantFactory, settings: Settings, state: State, unreachable_jobs: JobQueue
) -> AsyncGenerator[TenantClient]:
    """A tenant whose uploads stay queued until the test works on them."""
    tenant = await make_tenant()
    async with client_for(settings, {**state, "jobs": unreachable_jobs}) as client:
        yield TenantClient(tenant.id, client, tenant.headers)
