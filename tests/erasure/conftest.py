from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from fastapi_ignite.billing.provider import BillingProvider, NoPayment
from fastapi_ignite.core.config import Settings
from fastapi_ignite.erasure.removal import TenantRemover
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.tenant_keys import TenantKeys
from fastapi_ignite.ingestion.project_deletion import ProjectRemover
from fastapi_ignite.rag.engine import RagEngine
from support.both_engines import *  # noqa: F403  fixtures: every suite here runs on both engines
from support.idle_workers import *  # noqa: F403  fixtures

RemoverFactory = Callable[..., TenantRemover]


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
