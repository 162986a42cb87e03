from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from support.http_clients import TenantClient, TenantFactory, client_for


@pytest.fixture(scope="session")
def unreachable_jobs() -> JobQueue:
    """Return a queue whose Redis is unreachable: exports are accepted, but no worker gets a message."""
    return JobQueue(make_broker("redis://127.0.0.1:1/0"))


@pytest.fixture
def processor(database: Database, state: AppState) -> ExportProcessor:
    """Return a processor of exports, which the test calls in place of a worker."""
    return ExportProcessor(database=database, storage=state["storage"])


@pytest.fixture
async def tenant_without_worker(
    make_tenant: TenantFactory, settings: Settings, state: AppState, unreachable_jobs: JobQueue
) -> AsyncGenerator[TenantClient]:
    """Return a tenant whose exports stay queued until the test processes them."""
    tenant = await make_tenant()
    async with client_for(settings, {**state, "jobs": unreachable_jobs}) as client:
        yield TenantClient(tenant.id, client, tenant.headers)
