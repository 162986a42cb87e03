"""What the application holds while it runs; made in the lifespan, read from `request.state`.

`http` knows no feature: the protocols here are what it needs of one, wired in `main`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypedDict
from uuid import UUID

from redis.asyncio import Redis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.origin import Actor
from fastapi_ignite.core.security import Principal, TokenVerifier
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.rag.engine import RagEngine


@dataclass(frozen=True, slots=True)
class Standing:
    """`rpm`: requests a minute, of the tenant's plan or else of the setting."""

    rpm: int
    suspended: bool


class TenantDirectory(Protocol):
    """What is known of tenants at the entrance."""

    async def standing(self, tenant_id: UUID) -> Standing:
        """May be a few seconds old."""
        ...


class ApiKeyDirectory(Protocol):
    """Whose an API key is."""

    async def principal(self, key: str) -> Principal | None:
        """None where the key is malformed, unknown, expired or revoked. May be a few seconds old."""
        ...


class AdminDirectory(Protocol):
    """Whose an admin key is."""

    async def actor(self, key: str) -> Actor | None:
        """None where the key is malformed, unknown, expired or revoked. May be a few seconds old."""
        ...


class State(TypedDict):
    """One of each for the whole process."""

    settings: Settings
    database: Database
    admin_database: Database
    redis: Redis
    limiter: RateLimiter
    tenants: TenantDirectory
    tokens: TokenVerifier
    api_keys: ApiKeyDirectory
    admins: AdminDirectory
    storage: Storage
    jobs: JobQueue
    engines: Mapping[str, RagEngine]
    schema: SchemaHistory
