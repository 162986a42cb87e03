"""Find the tenant that owns an API key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi_ignite.api_keys.repository import ApiKeyRepo
from fastapi_ignite.core import clock
from fastapi_ignite.core.api_key_format import key_digest, tenant_id_in_key
from fastapi_ignite.core.audit_context import Actor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.permissions import granted_to_key
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.core.security import Principal
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.stored_keys import LastUsedRecorder

CACHE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    expires_at: datetime | None


class ApiKeyAuthenticator:
    """Looks up API keys, and caches the results for a second. A revoked key may work for that long."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._uses = LastUsedRecorder()
        self._known = Remembered(self._look_up, seconds=CACHE_SECONDS)

    async def authenticate(self, key: str) -> Principal | None:
        """Return the key's tenant and scopes, or None.

        A malformed key, or a key of another environment, needs no query.
        """
        tenant_id = tenant_id_in_key(key, self._settings)
        if tenant_id is None:
            return None
        known = await self._known.get((tenant_id, key_digest(key, self._settings)))
        if known is None or (known.expires_at is not None and known.expires_at <= clock.now()):
            return None
        return known.principal

    async def _look_up(self, place: tuple[UUID, bytes]) -> _Known | None:
        tenant_id, digest = place
        async with self._database.tenant(tenant_id) as session:
            key = await ApiKeyRepo(session, tenant_id).by_digest(digest)
        now = clock.now()
        if key is None or not key.is_active(now):
            return None
        await self._uses.record(key, now, lambda: self._database.tenant(tenant_id))
        principal = Principal(tenant_id, granted_to_key(key.role, key.scopes), Actor("api_key", str(key.id)))
        return _Known(principal, key.expires_at)
