"""Fixtures for tests that work in place of a worker, on the engine of `support/both_engines.py`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.engines import build_engines
from support.http_clients import TenantClient, TenantFactory, client_for

__all__ = ["processor", "tenant_without_worker", "unreachable_jobs", "worker_engines"]


@pytest.fixture(scope="session")
def unreachable_jobs() -> JobQueue:
    """Return a queue whose Redis is unreachable: uploads are accepted, but no worker gets a message."""
    return JobQueue(make_broker("redis://127.0.0.1:1/0"))


@pytest.fixture(scope="session")
async def worker_engines(database: Database, openai_settings: Settings) -> AsyncGenerator[Mapping[str, RagEngine]]:
    """Return the engines with the database login of a worker."""
    engines = build_engines(database, openai_settings)
    yield engines
    for engine in engines.values():
        await engine.close()


@pytest.fixture(scope="session")
def processor(
    database: Database, state: AppState, worker_engines: Mapping[str, RagEngine], unreachable_jobs: JobQueue
) -> FileProcessor:
    """Return a processor of files, which the test calls in place of a worker."""
    return FileProcessor(database=database, storage=state["storage"], engines=worker_engines, jobs=unreachable_jobs)


@pytest.fixture
async def tenant_without_worker(
    make_tenant: TenantFactory, engine_settings: Settings, state: AppState, unreachable_jobs: JobQueue
) -> AsyncGenerator[TenantClient]:
    """Return a tenant whose uploads stay queued until the test processes them."""
    tenant = await make_tenant()
    async with client_for(engine_settings, {**state, "jobs": unreachable_jobs}) as client:
        yield TenantClient(tenant.id, client, tenant.headers)
