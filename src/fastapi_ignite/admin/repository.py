"""Queries of admin keys."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.admin.models import AdminKey


class AdminKeyRepo:
    """The admin keys. It needs an operator transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def by_digest(self, digest: bytes) -> AdminKey | None:
        """Return the key with this HMAC, or None."""
        return (await self._session.scalars(select(AdminKey).where(AdminKey.digest == digest))).one_or_none()

    async def get(self, key_id: UUID) -> AdminKey | None:
        """Return the key or None, and lock it until the transaction ends."""
        return await self._session.get(AdminKey, key_id, with_for_update=True)

    async def list_all(self) -> Sequence[AdminKey]:
        """Return all keys, oldest first, also revoked and expired ones."""
        return (await self._session.scalars(select(AdminKey).order_by(AdminKey.id))).all()

    async def add(self, key: AdminKey) -> None:
        """Insert the key immediately."""
        self._session.add(key)
        await self._session.flush()
