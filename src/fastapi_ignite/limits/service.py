"""The caps of a plan beside what is used of them."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from fastapi_ignite.billing.schemas import NotSubscribed
from fastapi_ignite.infra.db import Database
from fastapi_ignite.limits.schemas import CurrentLimits, UsageFigures
from fastapi_ignite.usage.service import read_overview


class LimitsService:
    """Shows the caps of one tenant."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def current(self) -> CurrentLimits | NotSubscribed:
        """Return the caps and the usage of today's windows."""
        overview = await read_overview(self._database, self._tenant_id)
        if overview is None:
            return NotSubscribed()
        active, usage = overview
        return CurrentLimits(**CurrentLimits.fields_of(active), usage=UsageFigures(**asdict(usage)))
