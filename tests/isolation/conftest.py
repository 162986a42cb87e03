from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import partial

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from isolation.catalogue import TenantTable, owner_connection, tenant_tables
from isolation.household import Household, HouseholdFactory, settle
from isolation.probes import Ground
from support.both_engines import *  # noqa: F403  fixtures: tenants of the tests here are of both engines


@pytest.fixture(scope="session")
def settle_down(
    client: httpx2.AsyncClient, openai_client: httpx2.AsyncClient, settings: Settings, database: Database, worker: None
) -> HouseholdFactory:
    """A new household, by its word."""
    del worker
    return partial(settle, client, openai_client, settings, database)


@pytest.fixture(scope="session")
async def household(settle_down: HouseholdFactory) -> Household:
    """Shared by the tests that only look at it."""
    return await settle_down("heliotrope")


@pytest.fixture(scope="session")
async def stranger(settle_down: HouseholdFactory) -> Household:
    """Another tenant, with ids of its own: what it may not do is not for want of something."""
    return await settle_down("marmoset")


@pytest.fixture(scope="session")
async def tables(addresses: ServiceAddresses) -> Sequence[TenantTable]:
    """Every table of tenants, with the column that names the tenant."""
    async with owner_connection(addresses.owner_url) as connection:
        found = await tenant_tables(connection)
    assert len(found) > 10
    return found


@pytest.fixture(scope="session")
async def api_database(addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """The login of the API, on one connection: what a transaction left behind would meet the next one."""
    database = Database(addresses.api_url, pool_size=1)
    database.engine.pool._max_overflow = 0  # type: ignore[attr-defined]  # of QueuePool
    yield database
    await database.close()


@pytest.fixture(scope="session")
def ground(
    api_database: Database, database: Database, state: AppState, household: Household, tables: Sequence[TenantTable]
) -> Ground:
    """What the probes look at."""
    return Ground(api_database, database, state["admin_database"], household.tenant.id, tables)


@pytest.fixture
def logging_as_before(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Before the capture ends: threads of the worker log at any time."""
    del capsys
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, root.level = before
