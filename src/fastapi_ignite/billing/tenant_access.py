"""Tells the HTTP layer what a tenant may do: its requests a minute, and whether it is suspended."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.repository import read_access
from fastapi_ignite.core import clock
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.http.state import TenantAccess
from fastapi_ignite.infra.db import Database

REMEMBERED_SECONDS = 1.0


class TenantAccessReader:
    """Reads the access of tenants. It remembers an answer for a second, so a change acts within a second."""

    def __init__(self, database: Database, default_rpm: int) -> None:
        self._database = database
        self._default_rpm = default_rpm
        self._remembered = Remembered(self._look_up, seconds=REMEMBERED_SECONDS)

    async def access(self, tenant_id: UUID) -> TenantAccess:
        """Return the access of the tenant, or the default one for an unknown id: the operation itself refuses that."""
        return await self._remembered.get(tenant_id)

    async def _look_up(self, tenant_id: UUID) -> TenantAccess:
        subscription, suspended = await read_access(self._database, tenant_id)
        active = ActiveSubscription.of(subscription, clock.today()) if subscription else None
        own = active.plan.rate_limit_rpm if active else None
        return TenantAccess(rpm=own or self._default_rpm, suspended=suspended)
