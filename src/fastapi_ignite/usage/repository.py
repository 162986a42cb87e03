"""The counters, the ledger and the days of usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.models import Subscription
from fastapi_ignite.billing.repository import WITH_PLANS
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import FixedStatement
from fastapi_ignite.usage import statements
from fastapi_ignite.usage.models import (
    PROJECTS_PERIOD_START,
    LedgerEntry,
    LedgerReason,
    Metric,
    UsageCounter,
    UsageDaily,
)

LONGEST_MONTH = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Figures:
    """A counter. Units held for work in progress are not used yet."""

    used: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A cap that held the units asked for, and its counter with them. `resets_on` null: it never does."""

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
        self, metric: Metric, *, reservation_id: UUID, amount: int, day: date, expires_at: datetime | None
    ) -> Grant | None:
        """Hold `amount` units if the day's plan allows all of them; nothing changes otherwise."""
        return await self._grant(
            statements.RESERVE, metric, id=reservation_id, day=day, amount=amount, expires_at=expires_at
        )

    async def settle(self, reservation_id: UUID) -> bool:
        """The work was done: what was held is used. False: it was not held any more, and nothing changed."""
        values = {"tenant_id": self._tenant_id, "id": reservation_id, "entry_id": new_id()}
        return (await statements.SETTLE.execute(self._session, values)).first() is not None

    async def release(self, reservation_id: UUID) -> None:
        """The work was not done: what was held is free. Repeating it changes nothing."""
        await statements.RELEASE.execute(self._session, {"tenant_id": self._tenant_id, "id": reservation_id})

    async def take(self, metric: Metric, *, amount: int, day: date) -> Grant | None:
        """Use units at once, with the business row of the same transaction, if the day's plan allows all of them."""
        reason = LedgerReason.TAKEN.value
        return await self._grant(statements.TAKE, metric, entry_id=new_id(), day=day, amount=amount, reason=reason)

    async def give_back(self, metric: Metric, *, amount: int, period_start: date, day: date) -> None:
        """Undo `take` when the thing counted is gone."""
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

    async def figures(self, metric: Metric, period_start: date) -> Figures:
        """A counter; a window without a row is empty."""
        row = (
            await self._session.execute(
                select(UsageCounter.used, UsageCounter.reserved).where(
                    UsageCounter.tenant_id == self._tenant_id,
                    UsageCounter.metric == metric.value,
                    UsageCounter.period_start == period_start,
                )
            )
        ).one_or_none()
        return Figures(*row) if row else Figures()

    async def overview(self, today: date) -> tuple[Subscription | None, dict[tuple[str, date], Figures]]:
        """The subscription and every counter of a month that may hold `today`, in one statement."""
        counter = UsageCounter
        recent = counter.period_start.between(today - LONGEST_MONTH, today)
        rows = (
            await self._session.execute(
                select(Subscription, counter.metric, counter.period_start, counter.used, counter.reserved)
                .outerjoin(
                    counter,
                    and_(
                        counter.tenant_id == Subscription.tenant_id,
                        or_(counter.period_start == PROJECTS_PERIOD_START, recent),
                    ),
                )
                .where(Subscription.tenant_id == self._tenant_id)
                .options(*WITH_PLANS)
            )
        ).all()
        figures = {(row.metric, row.period_start): Figures(row.used, row.reserved) for row in rows if row.metric}
        return (rows[0][0] if rows else None), figures

    async def days(self, start: date, end: date) -> Sequence[UsageDaily]:
        """What was counted on the days from `start` to `end`, both included."""
        return (
            await self._session.scalars(
                select(UsageDaily)
                .where(UsageDaily.tenant_id == self._tenant_id, UsageDaily.day.between(start, end))
                .order_by(UsageDaily.day)
            )
        ).all()

    async def entries(self, *, after: UUID | None, limit: int) -> Sequence[LedgerEntry]:
        """A page of the ledger, newest first."""
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
    """A row of `usage_monthly`."""

    tenant_id: UUID
    metric: str
    month: date


class MonthlyUsageRepo:
    """The months of all tenants, and the watermark of their roll-up. Needs a system transaction."""

    _NAME: ClassVar = {"name": "monthly"}

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def watermark(self) -> tuple[datetime, datetime]:
        """How far the roll-up has come, and the database's time."""
        await self._session.execute(statements.ADD_WATERMARK, self._NAME)
        row = (await self._session.execute(statements.WATERMARK, self._NAME)).one()
        return row.reached, row.now

    async def lock(self) -> None:
        """Take turns until the transaction ends.

        Whoever comes next looks at the days later than whoever came before: no older sum replaces a newer one.
        """
        await self._session.execute(statements.LOCK_WATERMARK, self._NAME)

    async def sum_changed(self, *, since: datetime, after: MonthKey, limit: int) -> list[MonthKey]:
        """Write the next months of which a day changed; returns them in order."""
        rows = await self._session.execute(statements.SUM_MONTHS, {"since": since, "limit": limit, **asdict(after)})
        return [MonthKey(row.tenant_id, row.metric, row.month) for row in rows]

    async def advance(self, reached: datetime) -> None:
        """What changed before is summed up."""
        await self._session.execute(statements.ADVANCE_WATERMARK, {"reached": reached, **self._NAME})


async def release_expired(session: AsyncSession, *, now: datetime, limit: int = 1000) -> None:
    """Free what died holding units. Needs a system transaction."""
    await session.execute(statements.RELEASE_EXPIRED, {"now": now, "limit": limit})
