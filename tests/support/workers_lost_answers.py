"""Fixtures for workers whose COMMITs lose their answers, and a tenant whose jobs only the test's own worker runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database, commit_outcome
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from support.commit_proxy import CommitProxy, Loss
from support.http_clients import TenantClient, TenantFactory, client_for

__all__ = ["BREAKS", "LOSSES", "proxied", "proxy", "tenant"]

# A worker process survives these errors: Dramatiq logs them, and the sweeper sends the row's job again.
BREAKS = (OSError, SQLAlchemyError, CommitOutcomeUnknownError)
# With a patience of 0 nobody finds out whether the COMMIT happened, while the server answers what follows.
LOSSES = pytest.mark.parametrize(
    ("loss", "patience"), [(Loss.ANSWER, 5), (Loss.ANSWER_AND_SERVER, 0.2), (Loss.ANSWER, 0), (Loss.COMMIT, 0)]
)


@pytest.fixture
async def proxy(
    addresses: ServiceAddresses, patience: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[CommitProxy]:
    monkeypatch.setattr(commit_outcome, "PATIENCE_SECONDS", patience)
    async with CommitProxy(addresses.worker_url) as opened:
        yield opened


@pytest.fixture
async def proxied(proxy: CommitProxy) -> AsyncGenerator[Database]:
    database = Database(proxy.url(), pool_size=3)
    yield database
    await database.close()


@pytest.fixture
async def tenant(make_tenant: TenantFactory, settings: Settings, state: AppState) -> AsyncGenerator[TenantClient]:
    """Return a tenant whose jobs never reach the broker, so that only the test runs them."""
    made = await make_tenant()
    unheard = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    async with client_for(settings, {**state, "jobs": unheard}) as client:
        yield TenantClient(made.id, client, made.headers)
