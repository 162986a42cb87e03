"""Queries of API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.api_keys.models import ApiKey


class ApiKeyRepo:
    """The API keys of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def by_digest(self, digest: bytes) -> ApiKey | None:
        """Return the key with this HMAC, or None."""
        statement = select(ApiKey).where(ApiKey.tenant_id == self._tenant_id, ApiKey.digest == digest)
        return (await self._session.scalars(statement)).one_or_none()

    async def get(self, key_id: UUID) -> ApiKey | None:
        """Return the key or None, and lock it until the transaction ends."""
        return await self._session.get(ApiKey, (self._tenant_id, key_id), with_for_update=True)

    async def page(self, *, limit: int, after: UUID | None) -> Sequence[ApiKey]:
        """Return a page of keys, newest first, also revoked and expired ones. Ids sort by time of creation."""
        statement = select(ApiKey).where(ApiKey.tenant_id == self._tenant_id).order_by(ApiKey.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(ApiKey.id < after)
        return (await self._session.scalars(statement)).all()

    async def count_active(self, now: datetime) -> int:
        """Count the keys that are neither revoked nor expired."""
        statement = select(func.count()).where(
            ApiKey.tenant_id == self._tenant_id,
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
        )
        return await self._session.scalar(statement) or 0

    async def add(self, key: ApiKey) -> None:
        """Insert the key immediately."""
        self._session.add(key)
        await self._session.flush()
