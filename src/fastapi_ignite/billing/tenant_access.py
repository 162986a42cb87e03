"""Tells the HTTP layer what a tenant may do: its requests a minute, and whether it is suspended."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.http.state import TenantAccess
from fastapi_ignite.infra.db import Database
from fastapi_ignite.tenants.repository import TenantRepo

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
        async with self._database.tenant(tenant_id) as session:
            tenant = await TenantRepo(session).get(tenant_id)
            active = await BillingService(session, tenant_id).current()
        own = active.plan.rate_limit_rpm if active else None
        suspended = tenant is not None and tenant.suspended_at is not None
        return TenantAccess(rpm=own or self._default_rpm, suspended=suspended)
