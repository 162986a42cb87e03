"""Whose an admin key is, for the entrance of the API."""

from __future__ import annotations

from fastapi_ignite.admin.repository import AdminKeyRepo
from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.keys import is_admin_key, key_digest
from fastapi_ignite.core.origin import Actor
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.keys import KeyUses


class AdminDirectory:
    """Asks the database each time: administrators are few, and a revoked key ends at once."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._uses = KeyUses()

    async def actor(self, key: str) -> Actor | None:
        """A malformed key costs no look at the database."""
        if not is_admin_key(key):
            return None
        async with self._database.operator() as session:
            found = await AdminKeyRepo(session).by_digest(key_digest(key, self._settings))
        now = clock.now()
        if found is None or not found.in_force(now):
            return None
        await self._uses.note(found, now, self._database.operator)
        return Actor("admin", str(found.id))
