"""Queries of counters, reservations, the ledger and the sums of usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.stored_subscription import SubscriptionRow
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.usage import statements
from fastapi_ignite.usage.models import (
    LedgerEntry,
    LedgerReason,
    Metric,
    UsageCounter,
    UsageDaily,
)


@dataclass(frozen=True, slots=True)
class CounterValues:
    """The values of a counter. Reserved units are not used yet."""

    used: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A granted request: the cap, and its counter afterwards. `resets_on` is None if the quota never resets."""

    cap: int
    used: int
    reserved: int
    resets_on: date | None


class UsageRepo:
    """The counters and the ledger of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def reserve(
        self, metric: Metric, *, amounts: Mapping[UUID, int], day: date, expires_at: datetime | None
    ) -> Grant | None:
        """Reserve all amounts, each under its id, if the day's plan allows their sum. Else return None."""
        ids, parts = list(amounts), list(amounts.values())
        return await self._grant(
            statements.RESERVE, metric, ids=ids, amounts=parts, day=day, amount=sum(parts), expires_at=expires_at
        )

    async def settle(self, reservation_ids: Sequence[UUID]) -> set[UUID]:
        """Count the reserved units as used. Return the ids of the reservations that were still held."""
        entries = [new_id() for _ in reservation_ids]
        values = {"tenant_id": self._tenant_id, "ids": list(reservation_ids), "entry_ids": entries}
        return set((await statements.SETTLE.execute(self._session, values)).scalars())

    async def release(self, reservation_ids: Sequence[UUID]) -> None:
        """Give the reserved units back. It is no error if that was done before."""
        await statements.RELEASE.execute(self._session, {"tenant_id": self._tenant_id, "ids": list(reservation_ids)})

    async def take(self, metric: Metric, *, amount: int, day: date) -> Grant | None:
        """Count units as used without a reservation, if the day's plan allows them. Else return None."""
        reason = LedgerReason.TAKEN.value
        return await self._grant(statements.TAKE, metric, entry_id=new_id(), day=day, amount=amount, reason=reason)

    async def give_back(self, metric: Metric, *, amount: int, period_start: date, day: date) -> None:
        """Undo `take`, when the counted object was removed."""
        await statements.GIVE_BACK.execute(
            self._session,
            {
                "tenant_id": self._tenant_id,
                "entry_id": new_id(),
                "metric": metric.value,
                "period_start": period_start,
                "day": day,
                "amount": -amount,
                "reason": LedgerReason.GIVEN_BACK.value,
            },
        )

    async def counter(self, metric: Metric, period_start: date) -> CounterValues:
        """Return the values of a counter. They are zero if it has no row yet."""
        row = (
            await self._session.execute(
                select(UsageCounter.used, UsageCounter.reserved).where(
                    UsageCounter.tenant_id == self._tenant_id,
                    UsageCounter.metric == metric.value,
                    UsageCounter.period_start == period_start,
                )
            )
        ).one_or_none()
        return CounterValues(*row) if row else CounterValues()

    async def days(self, start: date, end: date) -> Sequence[UsageDaily]:
        """Return the days with usage from `start` to `end`, both included."""
        return (
            await self._session.scalars(
                select(UsageDaily)
                .where(UsageDaily.tenant_id == self._tenant_id, UsageDaily.day.between(start, end))
                .order_by(UsageDaily.day)
            )
        ).all()

    async def entries(self, *, after: UUID | None, limit: int) -> Sequence[LedgerEntry]:
        """Return a page of the ledger, newest first."""
        statement = select(LedgerEntry).where(LedgerEntry.tenant_id == self._tenant_id)
        if after is not None:
            statement = statement.where(LedgerEntry.id < after)
        return (await self._session.scalars(statement.order_by(LedgerEntry.id.desc()).limit(limit))).all()

    async def _grant(self, statement: FixedStatement, metric: Metric, **values: Any) -> Grant | None:
        parameters = {"tenant_id": self._tenant_id, "metric": metric.value, **values}
        row = (await statement.execute(self._session, parameters)).one_or_none()
        return Grant(row.cap, row.used, row.reserved, row.resets_on) if row else None


@dataclass(frozen=True, slots=True, order=True)
class MonthKey:
    """The primary key of `usage_monthly`."""

    tenant_id: UUID
    metric: str
    month: date


class MonthlyUsageRepo:
    """The monthly sums of all tenants, and the watermark of the roll-up. It needs a system transaction."""

    _NAME: ClassVar = {"name": "monthly"}

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def watermark(self) -> tuple[datetime, datetime]:
        """Return the time up to which the roll-up has processed changes, and the database's current time."""
        await self._session.execute(statements.ADD_WATERMARK, self._NAME)
        row = (await self._session.execute(statements.WATERMARK, self._NAME)).one()
        return row.reached, row.now

    async def lock(self) -> None:
        """Lock the watermark until the transaction ends.

        So roll-ups run one after the other, and an older sum never replaces a newer one.
        """
        await self._session.execute(statements.LOCK_WATERMARK, self._NAME)

    async def sum_changed(self, *, since: datetime, after: MonthKey, limit: int) -> list[MonthKey]:
        """Write the sums of the next months in which a day changed, and return their keys in order."""
        rows = await self._session.execute(statements.SUM_MONTHS, {"since": since, "limit": limit, **asdict(after)})
        return [MonthKey(row.tenant_id, row.metric, row.month) for row in rows]

    async def advance(self, reached: datetime) -> None:
        """Move the watermark, because all changes before `reached` are summed up."""
        await self._session.execute(statements.ADVANCE_WATERMARK, {"reached": reached, **self._NAME})


async def read_usage(
    database: Database, tenant_id: UUID, today: date
) -> tuple[SubscriptionRow | None, dict[tuple[str, date], int]]:
    """Return the subscription, and the used units of every window that may contain `today`, by metric and start."""
    rows = await database.read(tenant_id, statements.OVERVIEW, {"tenant_id": tenant_id, "day": today})
    used: dict[tuple[str, date], int] = {}
    subscription = None
    for row in rows:
        subscription, (metric, period_start, units) = SubscriptionRow.of(row)
        used[metric, period_start] = units
    return subscription, used


async def remove_ended(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Remove reservations that were made before then and are settled or released. Return their number.

    This needs a system transaction.
    """
    return len((await session.scalars(statements.REMOVE_ENDED, {"before": before, "limit": limit})).all())


async def release_expired(session: AsyncSession, *, now: datetime, limit: int = 1000) -> None:
    """Release expired reservations, whose process has died. This needs a system transaction."""
    await session.execute(statements.RELEASE_EXPIRED, {"now": now, "limit": limit})
