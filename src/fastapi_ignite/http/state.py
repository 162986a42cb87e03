"""What the application holds while it runs; made in the lifespan, read from `request.state`.

`http` knows no feature: the protocols here are what it needs of one, wired in `main`.
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
    """What a tenant may do: `rpm` requests a minute, by its plan or else by the setting, unless it is suspended."""

    rpm: int
    suspended: bool


class TenantAccessSource(Protocol):
    """Tells what a tenant may do at the moment."""

    async def access(self, tenant_id: UUID) -> TenantAccess:
        """Return what was true at most a few seconds ago; an unknown tenant has the default rate."""
        ...


class Authenticator(Protocol[CallerT_co]):
    """Tells who owns a key."""

    async def authenticate(self, key: str) -> CallerT_co | None:
        """Return the key's owner, or None where the key is malformed, unknown, expired or revoked.

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
