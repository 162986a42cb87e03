"""Create, list and revoke admin keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.admin.errors import AdminKeyNotFoundError
from fastapi_ignite.admin.models import AdminKey
from fastapi_ignite.admin.repository import AdminKeyRepo
from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core import clock
from fastapi_ignite.core.api_key_format import key_digest, key_hint, new_admin_key
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id


class AdminKeyService:
    """It works in the operator transaction of the caller."""

    def __init__(self, session: AsyncSession, settings: Settings) -> None:
        self._settings = settings
        self._keys = AdminKeyRepo(session)
        self._audit = AuditLog(session)

    async def create(self, name: str, *, lifetime: timedelta | None) -> tuple[AdminKey, str]:
        """Create a key. Return its row and the key itself, which cannot be shown again."""
        secret, now = new_admin_key(), clock.now()
        key = AdminKey(
            id=new_id(),
            name=name,
            digest=key_digest(secret, self._settings),
            hint=key_hint(secret),
            created_at=now,
            expires_at=now + lifetime if lifetime else None,
        )
        await self._keys.add(key)
        self._audit.record_service_event(Action.ADMIN_KEY_CREATED, key.id, name=name)
        return key, secret

    async def list_all(self) -> Sequence[AdminKey]:
        """Return all keys, oldest first, also revoked and expired ones."""
        return await self._keys.list_all()

    async def revoke(self, key_id: UUID) -> AdminKey:
        """Revoke the key. It is no error if it is revoked already.

        Raises:
            AdminKeyNotFoundError: there is no key with this id.
        """
        key = await self._keys.get(key_id)
        if key is None:
            raise AdminKeyNotFoundError(f"No admin key has the id {key_id}.")
        if key.revoked_at is None:
            key.revoked_at = clock.now()
            self._audit.record_service_event(Action.ADMIN_KEY_REVOKED, key.id, name=key.name)
        return key
