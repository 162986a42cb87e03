from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

import pytest

from fastapi_ignite.billing.provider import BillingProvider, NoPayment
from fastapi_ignite.core.config import Settings
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.tenant_keys import TenantKeys
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.project_deletion import ProjectRemover
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.engines import build_engines
from support.both_engines import *  # noqa: F403  fixtures: every suite here runs on both engines
from support.http_clients import TenantClient, TenantFactory, client_for

RemoverFactory = Callable[..., TenantRemover]


@pytest.fixture(scope="session")
def unreachable_jobs() -> JobQueue:
    """Return a queue whose Redis is unreachable: what is accepted waits until the test does it."""
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


@pytest.fixture(scope="session")
def make_remover(
    database: Database,
    state: AppState,
    settings: Settings,
    worker_engines: Mapping[str, RagEngine],
    addresses: ServiceAddresses,
) -> RemoverFactory:
    """Return a function that makes what the test calls in place of a worker."""

    def make(provider: BillingProvider | None = None, redis_url: str = addresses.redis_url) -> TenantRemover:
        return TenantRemover(
            database=database,
            storage=state["storage"],
            projects=ProjectRemover(database=database, storage=state["storage"], engines=worker_engines),
            provider=provider or NoPayment(),
            keys=TenantKeys(settings.cache, redis_url=redis_url),
        )

    return make


@pytest.fixture(scope="session")
def remover(make_remover: RemoverFactory) -> TenantRemover:
    """Return what the test calls in place of a worker."""
    return make_remover()


@pytest.fixture
async def tenant_without_worker(
    make_tenant: TenantFactory, engine_settings: Settings, state: AppState, unreachable_jobs: JobQueue
) -> AsyncGenerator[TenantClient]:
    """Return a tenant for which no worker gets a message."""
    tenant = await make_tenant()
    async with client_for(engine_settings, {**state, "jobs": unreachable_jobs}) as client:
        yield TenantClient(tenant.id, client, tenant.headers)
