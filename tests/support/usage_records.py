"""A tenant's usage as each of the four tables records it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.models import Metric

Key = tuple[Metric, date]


@dataclass(frozen=True, slots=True)
class Books:
    """Sums of the four tables, by metric and first day of the window, or by metric and day."""

    used: Counter[Key]
    reserved: Counter[Key]
    held: Counter[Key]
    ledger_by_window: Counter[Key]
    ledger_by_day: Counter[Key]
    days: Counter[Key]

    def add_up(self) -> bool:
        """Tell whether the sums of all tables agree."""
        return (
            +self.used == +self.ledger_by_window
            and +self.reserved == +self.held
            and _without_zero(self.days) == _without_zero(self.ledger_by_day)
        )


def _without_zero(sums: Counter[Key]) -> dict[Key, int]:
    return {key: amount for key, amount in sums.items() if amount}


STATEMENTS = (
    "SELECT metric, period_start, used FROM usage_counters",
    "SELECT metric, period_start, reserved FROM usage_counters",
    "SELECT metric, period_start, sum(amount) FROM usage_reservations WHERE state = 'held' GROUP BY 1, 2",
    "SELECT metric, period_start, sum(amount) FROM usage_ledger GROUP BY 1, 2",
    "SELECT metric, day, sum(amount) FROM usage_ledger GROUP BY 1, 2",
    "SELECT metric, day, amount FROM usage_daily",
)


HOLD = (
    (
        "INSERT INTO usage_counters AS c (tenant_id, metric, period_start, reserved) "
        "VALUES (:tenant_id, :metric, :period_start, :amount) "
        "ON CONFLICT (tenant_id, metric, period_start) DO UPDATE SET reserved = c.reserved + excluded.reserved"
    ),
    (
        "INSERT INTO usage_reservations (tenant_id, id, metric, period_start, day, amount, state) "
        "VALUES (:tenant_id, :id, :metric, :period_start, :day, :amount, 'held')"
    ),
)


async def hold(
    session: AsyncSession, tenant_id: UUID, metric: Metric, amount: int, *, period_start: date, day: date
) -> UUID:
    """Insert a reservation for any day and window, whatever the plan allows, and return its id."""
    values = {
        "tenant_id": tenant_id,
        "id": new_id(),
        "metric": metric.value,
        "amount": amount,
        "period_start": period_start,
        "day": day,
    }
    for statement in HOLD:
        await session.execute(text(statement), values)
    return UUID(str(values["id"]))


async def books_of(database: Database, tenant_id: UUID) -> Books:
    """Read the sums in one transaction of the tenant, at a moment when nothing else changes its usage.

    Each statement sees what was committed before it, so that a concurrent change could be in one sum and not in
    another.
    """
    async with database.tenant(tenant_id) as session:
        sums = [
            Counter(
                {(Metric(metric), day): int(amount) for metric, day, amount in await session.execute(text(statement))}
            )
            for statement in STATEMENTS
        ]
    return Books(*sums)
