"""Fixtures of an application on the database of `addresses`, and of its clients.

pytest makes these fixtures once for each `conftest.py` that imports them: once for all tests, and once more for the
tests with a database of their own (`own_database.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.main import open_state
from support.http_clients import TenantFactory, client_for, tenant_factory


@pytest.fixture(scope="session")
async def database(addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """Connect with the worker's login, which may take both the tenant's and the system's role."""
    database = Database(addresses.worker_url, pool_size=8, application_name="tests")
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def state(settings: Settings, openai_settings: Settings, addresses: ServiceAddresses) -> AsyncGenerator[AppState]:
    """Return the state that the lifespan gives an application. Both engines run; new projects use the local one."""
    async with open_state(openai_settings, addresses) as opened:
        yield {**opened, "settings": settings}


@pytest.fixture(scope="session")
async def client(settings: Settings, state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
    """Return an anonymous client."""
    async with client_for(settings, state) as anonymous:
        yield anonymous


@pytest.fixture(scope="session")
async def openai_client(openai_settings: Settings, state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
    """Return an anonymous client of the same installation, through which new projects start at OpenAI."""
    async with client_for(openai_settings, state) as anonymous:
        yield anonymous


@pytest.fixture(scope="session")
def make_tenant(client: httpx2.AsyncClient, settings: Settings) -> TenantFactory:
    """Return a function that makes tenants."""
    return tenant_factory(client, settings)


@pytest.fixture(scope="session")
def task_context(settings: Settings, database: Database, state: AppState) -> TaskContext:
    """Return the context that the scheduler gives its periodic jobs."""
    storage = LocalStorage(settings.ignite.data_dir / "storage")
    return TaskContext(settings=settings, database=database, storage=storage, jobs=state["jobs"])
