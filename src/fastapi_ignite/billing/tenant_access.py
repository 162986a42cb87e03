"""Tells the HTTP layer what a tenant may do: its requests a minute, and whether it is suspended or erased."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.repository import read_access
from fastapi_ignite.core import clock
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.http.state import TenantAccess
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.notifications import NotificationListener

REMEMBERED_SECONDS = 1.0
NOTIFIED_SECONDS = 60.0
CHANNEL = "ignite_tenant_access"  # triggers tell it the id of a tenant, or an empty text for all tenants


class TenantAccessReader:
    """Reads the access of tenants. A change acts within a second.

    It remembers an answer until PostgreSQL tells of a change, for `NOTIFIED_SECONDS` at most. While it does not hear of
    changes, it remembers an answer for a second.
    """

    def __init__(self, database: Database, default_rpm: int, changes: NotificationListener | None = None) -> None:
        self._database = database
        self._default_rpm = default_rpm
        self._day = clock.today()
        self._remembered = Remembered(
            self._look_up,
            seconds=REMEMBERED_SECONDS,
            notified_seconds=NOTIFIED_SECONDS,
            is_notified=changes.is_receiving if changes else None,
        )
        if changes:
            changes.on_notice = self._forget

    async def access(self, tenant_id: UUID) -> TenantAccess:
        """Return the access of the tenant, or the default one for an unknown id: the operation itself refuses that."""
        day = clock.today()
        if day != self._day:  # a subscription may end today, or change its plan, and no row changes
            self._remembered.forget_all()
            self._day = day
        return await self._remembered.get(tenant_id)

    def _forget(self, tenant_id: str) -> None:
        try:
            self._remembered.forget(UUID(tenant_id))
        except ValueError:  # all tenants; every login of the database may send anything
            self._remembered.forget_all()

    async def _look_up(self, tenant_id: UUID) -> TenantAccess:
        subscription, suspended, erased = await read_access(self._database, tenant_id)
        active = ActiveSubscription.of(subscription, clock.today()) if subscription else None
        own = active.plan.rate_limit_rpm if active else None
        return TenantAccess(rpm=own or self._default_rpm, suspended=suspended, erased=erased)
