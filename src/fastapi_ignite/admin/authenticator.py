"""Find the administrator who owns an admin key."""

from __future__ import annotations

from fastapi_ignite.admin.repository import AdminKeyRepo
from fastapi_ignite.core import clock
from fastapi_ignite.core.api_key_format import is_admin_key, key_digest
from fastapi_ignite.core.audit_context import Actor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.stored_keys import LastUsedRecorder


class AdminAuthenticator:
    """Looks up admin keys. It does not cache them, so a revoked key stops working at once."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._uses = LastUsedRecorder()

    async def authenticate(self, key: str) -> Actor | None:
        """Return the administrator that owns this key, or None. A malformed key costs no query."""
        if not is_admin_key(key):
            return None
        async with self._database.operator() as session:
            found = await AdminKeyRepo(session).by_digest(key_digest(key, self._settings))
        now = clock.now()
        if found is None or not found.is_active(now):
            return None
        await self._uses.record(found, now, self._database.operator)
        return Actor("admin", str(found.id))
