"""Reports of usage by day, and of the ledger."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.usage.errors import InvalidRangeError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.repository import UsageRepo
from fastapi_ignite.usage.schemas import DayUsage, LedgerEntryRead, LedgerPage, UsageByDay, UsageTotals

DEFAULT_DAYS = 30
MAX_DAYS = 366


class UsageReports:
    """It reads in the transaction of the caller."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._repository = UsageRepo(session, tenant_id)

    async def by_day(self, *, start: date | None, end: date | None) -> UsageByDay:
        """Return the usage of every day of the range. The default is the last thirty days.

        Raises:
            InvalidRangeError: `start` is after `end`, or there are more than `MAX_DAYS` days.
        """
        end = end or clock.today()
        start = start or date.fromordinal(max(1, end.toordinal() - DEFAULT_DAYS + 1))
        number = (end - start).days + 1
        if not 1 <= number <= MAX_DAYS:
            raise InvalidRangeError(
                f"The range must have 1 to {MAX_DAYS} days, with start before end.", max_days=MAX_DAYS
            )
        days = {day: DayUsage(day=day) for day in (start + timedelta(days=offset) for offset in range(number))}
        for row in await self._repository.days(start, end):
            setattr(days[row.day], row.metric, row.amount)
        totals = {metric.value: sum(getattr(day, metric.value) for day in days.values()) for metric in Metric}
        return UsageByDay(start=start, end=end, days=list(days.values()), totals=UsageTotals(**totals))

    async def ledger(self, *, after: UUID | None, limit: int) -> LedgerPage:
        """Return a page of the ledger, newest first."""
        entries = await self._repository.entries(after=after, limit=limit + 1)
        shown = [LedgerEntryRead.of(entry) for entry in entries[:limit]]
        return LedgerPage(entries=shown, next_after=shown[-1].id if len(entries) > limit else None)
