"""The shared objects of a running application. The lifespan creates them, and `request.state` holds them.

`http` imports no feature. The protocols here describe what it needs from features; `main` provides them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypedDict, TypeVar
from uuid import UUID

from redis.asyncio import Redis

from fastapi_ignite.core.audit_context import Actor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.security import Principal, TokenVerifier
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.rag.engine import RagEngine

CallerT_co = TypeVar("CallerT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TenantAccess:
    """The rate limit of a tenant in requests per minute, and whether the tenant is suspended or erased."""

    rpm: int
    suspended: bool = False
    erased: bool = False


class TenantAccessSource(Protocol):
    """Tells the rate limit of a tenant, and whether it is suspended or erased."""

    async def access(self, tenant_id: UUID) -> TenantAccess:
        """Return values that are at most a few seconds old. An unknown tenant has the default rate limit."""
        ...


class Authenticator(Protocol[CallerT_co]):
    """Finds the owner of a key."""

    async def authenticate(self, key: str) -> CallerT_co | None:
        """Return the key's owner, or None if the key is malformed, unknown, expired or revoked.

        The answer may be a few seconds old.
        """
        ...


class AppState(TypedDict):
    """The objects that all requests of a process share."""

    settings: Settings
    database: Database
    admin_database: Database
    redis: Redis
    limiter: RateLimiter
    tenants: TenantAccessSource
    tokens: TokenVerifier
    api_keys: Authenticator[Principal]
    admins: Authenticator[Actor]
    storage: Storage
    jobs: JobQueue
    engines: Mapping[str, RagEngine]
    schema: SchemaHistory
