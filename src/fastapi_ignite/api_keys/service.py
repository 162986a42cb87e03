"""Create, rotate and revoke the API keys of a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.api_keys.errors import (
    ApiKeyEndedError,
    ApiKeyNotFoundError,
    ExpiryNotAheadError,
    TooManyApiKeysError,
)
from fastapi_ignite.api_keys.models import ApiKey
from fastapi_ignite.api_keys.repository import ApiKeyRepo
from fastapi_ignite.api_keys.schemas import ApiKeyCreate, ApiKeyCreated, ApiKeyList, ApiKeyRead
from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core import clock
from fastapi_ignite.core.api_key_format import key_digest, key_hint, new_tenant_key
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.permissions import InsufficientScopeError, granted_to_key
from fastapi_ignite.core.security import Principal
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.repository import TenantRepo

MAX_ACTIVE_KEYS = 100


class ApiKeyService:
    """It works in the transaction of the caller."""

    def __init__(self, session: AsyncSession, principal: Principal, settings: Settings) -> None:
        self._tenant_id = principal.tenant_id
        self._principal = principal
        self._settings = settings
        self._keys = ApiKeyRepo(session, principal.tenant_id)
        self._tenants = TenantRepo(session)
        self._audit = AuditLog(session)

    async def create(self, wanted: ApiKeyCreate) -> ApiKeyCreated:
        """Create a key that may do no more than its creator.

        Raises:
            InsufficientScopeError: the creator lacks a scope of the key.
            TooManyApiKeysError: the tenant has too many active keys.
        """
        if wanted.expires_at is not None and wanted.expires_at <= clock.now():
            raise ExpiryNotAheadError("expires_at is in the past.")
        scopes = None if wanted.scopes is None else sorted(set(wanted.scopes))
        self._require_no_more_than_own(wanted.role, scopes)
        created = await self._add(name=wanted.name, role=wanted.role, scopes=scopes, expires_at=wanted.expires_at)
        self._audit.record(
            self._tenant_id,
            Action.API_KEY_CREATED,
            created.id,
            name=wanted.name,
            role=wanted.role,
            scopes=scopes,
            expires_at=wanted.expires_at.isoformat() if wanted.expires_at else None,
        )
        return created

    async def rotate(self, key_id: UUID, *, overlap_seconds: int) -> ApiKeyCreated:
        """Create a key with the same name, rights and lifetime. The old key still works for `overlap_seconds`.

        Raises:
            ApiKeyNotFoundError: the tenant has no such key.
            ApiKeyEndedError: it was revoked, expired, or replaced already.
            TooManyApiKeysError: too many rotated keys still work.
            InsufficientScopeError: the caller may do less than the key.
        """
        old = await self._get(key_id)
        if old.replaced_by is not None or not old.is_active(clock.now()):
            raise ApiKeyEndedError("This key was revoked, expired or replaced. Create a new one.")
        self._require_no_more_than_own(old.role, old.scopes)
        lifetime = old.expires_at - old.created_at if old.expires_at else None
        created = await self._add(
            name=old.name,
            role=old.role,
            scopes=old.scopes,
            expires_at=clock.now() + lifetime if lifetime else None,
            replacing=True,
        )
        until = clock.now() + timedelta(seconds=overlap_seconds)
        old.expires_at = until if old.expires_at is None else min(old.expires_at, until)
        old.replaced_by = created.id
        self._audit.record(
            self._tenant_id,
            Action.API_KEY_ROTATED,
            key_id,
            replaced_by=str(created.id),
            old_key_until=old.expires_at.isoformat(),
        )
        return created

    async def revoke(self, key_id: UUID) -> ApiKeyRead:
        """Revoke the key. It is no error if it is revoked already."""
        key = await self._get(key_id)
        if key.revoked_at is None:
            key.revoked_at = clock.now()
            self._audit.record(self._tenant_id, Action.API_KEY_REVOKED, key_id, name=key.name)
        return ApiKeyRead.of(key)

    async def page(self, *, limit: int, after: UUID | None) -> ApiKeyList:
        """Return a page of keys, newest first, also revoked and expired ones."""
        keys = await self._keys.page(limit=limit + 1, after=after)
        shown = [ApiKeyRead.of(key) for key in keys[:limit]]
        has_more = len(keys) > limit
        return ApiKeyList(api_keys=shown, has_more=has_more, next_after=shown[-1].id if has_more else None)

    async def _get(self, key_id: UUID) -> ApiKey:
        key = await self._keys.get(key_id)
        if key is None:
            raise ApiKeyNotFoundError("No API key of this tenant has this id.")
        return key

    async def _add(
        self,
        *,
        name: str,
        role: str,
        scopes: Sequence[str] | None,
        expires_at: datetime | None,
        replacing: bool = False,
    ) -> ApiKeyCreated:
        if (
            await self._tenants.get(self._tenant_id, lock=True) is None
        ):  # the lock serialises two requests for the last allowed key
            raise TenantNotFoundError("The token's tenant does not exist.")
        most = MAX_ACTIVE_KEYS * (2 if replacing else 1)  # so that every key can be rotated
        if await self._keys.count_active(clock.now()) >= most:
            raise TooManyApiKeysError(f"The tenant has {most} active keys. Revoke one first.", limit=most)
        secret = new_tenant_key(self._tenant_id, self._settings)
        actor = self._principal.actor
        key = ApiKey(
            tenant_id=self._tenant_id,
            id=new_id(),
            name=name,
            digest=key_digest(secret, self._settings),
            hint=key_hint(secret),
            role=role,
            scopes=None if scopes is None else list(scopes),
            created_by=f"{actor.kind}:{actor.id}" if actor.id else actor.kind,
            created_at=clock.now(),
            expires_at=expires_at,
        )
        await self._keys.add(key)
        return ApiKeyCreated.shown(key, secret)

    def _require_no_more_than_own(self, role: str, scopes: Sequence[str] | None) -> None:
        missing = sorted(granted_to_key(role, scopes) - self._principal.scopes)
        if missing:
            raise InsufficientScopeError(
                "A key may not do more than the caller who creates or rotates it.",
                missing_scopes=[str(scope) for scope in missing],
            )
