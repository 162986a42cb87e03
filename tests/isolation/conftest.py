from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from http_clients import TenantFactory
from isolation.household import FACT, QUESTION, Household


@pytest.fixture(scope="session")
async def household(make_tenant: TenantFactory, worker: None) -> Household:
    """Made by the API alone. Shared by the tests that only look at it."""
    del worker
    tenant = await make_tenant()
    created = await tenant.post(
        "/ingestion/projects/create", params={"name": "Secrets"}, headers={"Idempotency-Key": "first"}
    )
    project: str = created.json()["id"]
    upload: dict[str, Any] = (await tenant.upload(project, ("vault.txt", FACT.encode()))).json()
    assert upload["batch_status"] == "completed"
    answer: dict[str, Any] = (await tenant.ask(project, QUESTION)).json()
    assert answer["answerable"]
    return Household(
        tenant=tenant,
        project=project,
        file=upload["files"][0]["id"],
        conversation=answer["conversation_id"],
        message=answer["message_id"],
    )


@pytest.fixture(scope="session")
async def api_database(addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """The login of the API, on one connection: what a transaction left behind would meet the next one."""
    database = Database(addresses.api_url, pool_size=1)
    database.engine.pool._max_overflow = 0  # type: ignore[attr-defined]  # of QueuePool
    yield database
    await database.close()
