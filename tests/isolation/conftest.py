from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from isolation.catalogue import TenantTable, owner_connection, tenant_tables
from isolation.probes import ProbedDatabase
from isolation.sample_tenant import SampleTenant, SampleTenantFactory, build_sample_tenant
from support.both_engines import *  # noqa: F403  its fixtures run the tests here on both engines


@pytest.fixture(scope="session")
def make_sample_tenant(
    client: httpx2.AsyncClient, openai_client: httpx2.AsyncClient, settings: Settings, database: Database, worker: None
) -> SampleTenantFactory:
    """Return a function that makes a sample tenant for a word."""
    del worker
    return partial(build_sample_tenant, client, openai_client, settings, database)


@pytest.fixture(scope="session")
async def sample_tenant(make_sample_tenant: SampleTenantFactory) -> SampleTenant:
    """Return a sample tenant for all tests that change nothing of it."""
    return await make_sample_tenant("heliotrope")


@pytest.fixture(scope="session")
async def other_tenant(make_sample_tenant: SampleTenantFactory) -> SampleTenant:
    """Return a second tenant that has ids of its own, so that a refusal cannot come from a missing row."""
    return await make_sample_tenant("marmoset")


@pytest.fixture(scope="session")
async def tables(addresses: ServiceAddresses) -> Sequence[TenantTable]:
    """Return every table with rows of tenants."""
    async with owner_connection(addresses.owner_url) as connection:
        found = await tenant_tables(connection)
    assert len(found) > 10
    return found


@pytest.fixture(scope="session")
async def api_database(addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """Connect with the API's login, through one connection.

    Whatever a transaction leaves behind on the connection, the next transaction would see.
    """
    database = Database(addresses.api_url, pool_size=1)
    database.engine.pool._max_overflow = 0  # type: ignore[attr-defined]  # an attribute of QueuePool
    yield database
    await database.close()


@pytest.fixture(scope="session")
def probed(
    api_database: Database,
    database: Database,
    state: AppState,
    sample_tenant: SampleTenant,
    tables: Sequence[TenantTable],
) -> ProbedDatabase:
    return ProbedDatabase(api_database, database, state["admin_database"], sample_tenant.tenant.id, tables)
