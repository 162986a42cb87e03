"""This module declares the dependencies of endpoints. An alias that ends in `Dep` is a dependency."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.authentication import PrincipalDep, require_auth
from fastapi_ignite.http.idempotency import ensure_idempotent
from fastapi_ignite.http.rate_limit import check_rate_limit
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.rag.engine import RagEngine

__all__ = [
    "DatabaseDep",
    "EnginesDep",
    "JobsDep",
    "OperatorDep",
    "PrincipalDep",
    "RedisDep",
    "SessionDep",
    "SettingsDep",
    "StorageDep",
    "check_rate_limit",
    "ensure_idempotent",
    "require_auth",
]


async def get_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """One transaction for the request, of the token's tenant, or of none on public routes."""
    principal = getattr(request.state, "principal", None)
    database: Database = request.state.database
    async with database.tenant(principal.tenant_id if principal else None) as session:
        yield session


async def get_operator_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """One transaction for an administrator's request; only routes of `admin_router` ask for it."""
    database: Database = request.state.admin_database
    async with database.operator() as session:
        yield session


def _from_state(name: str) -> Any:
    async def provide(request: Request) -> Any:  # a plain function would cost a thread
        return getattr(request.state, name)

    return Depends(provide)


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
OperatorDep = Annotated[AsyncSession, Depends(get_operator_session, scope="function")]
SettingsDep = Annotated[Settings, _from_state("settings")]
DatabaseDep = Annotated[Database, _from_state("database")]
RedisDep = Annotated[Redis, _from_state("redis")]
StorageDep = Annotated[Storage, _from_state("storage")]
JobsDep = Annotated[JobQueue, _from_state("jobs")]
EnginesDep = Annotated[Mapping[str, RagEngine], _from_state("engines")]
