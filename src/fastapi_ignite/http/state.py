"""What the application holds while it runs; made in the lifespan, read from `request.state`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypedDict
from uuid import UUID

from redis.asyncio import Redis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.rag.engine import RagEngine


class TenantRates(Protocol):
    """How many requests a minute a tenant's plan allows; wired in `create_app`."""

    async def rpm(self, tenant_id: UUID) -> int:
        """The plan's own number, else the setting's."""
        ...


class State(TypedDict):
    """One of each for the whole process."""

    settings: Settings
    database: Database
    redis: Redis
    limiter: RateLimiter
    tenant_rates: TenantRates
    storage: Storage
    jobs: JobQueue
    engines: Mapping[str, RagEngine]
    schema_head: str | None
