"""The caps of a plan beside what is used of them."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.schemas import NotSubscribed
from fastapi_ignite.limits.schemas import CurrentLimits, UsageFigures
from fastapi_ignite.usage.service import UsageService


class LimitsService:
    """Shows the caps of one tenant. It works in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._usage = UsageService(session, tenant_id)

    async def current(self) -> CurrentLimits | NotSubscribed:
        """Return the caps and the usage of today's windows."""
        overview = await self._usage.overview()
        if overview is None:
            return NotSubscribed()
        active, usage = overview
        return CurrentLimits(**CurrentLimits.fields_of(active), usage=UsageFigures(**asdict(usage)))
