"""SQL of counters and reservations. Each decision is one statement under one row lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import TextClause, and_, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.models import Subscription
from fastapi_ignite.billing.repository import WITH_PLANS
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.usage.models import LEVEL_PERIOD, LedgerEntry, LedgerReason, Metric, UsageCounter, UsageDaily

LONGEST_MONTH = timedelta(days=31)

_RESERVE = text("""
WITH counter AS (
    INSERT INTO usage_counters AS c (tenant_id, metric, period_start, reserved)
    SELECT :tenant_id, :metric, :period_start, CAST(:amount AS bigint) WHERE CAST(:amount AS bigint) <= :cap
    ON CONFLICT (tenant_id, metric, period_start) DO UPDATE
    SET reserved = c.reserved + excluded.reserved, updated_at = now()
    WHERE c.used + c.reserved + excluded.reserved <= :cap
    RETURNING used, reserved
), reservation AS (
    INSERT INTO usage_reservations (tenant_id, id, metric, period_start, day, amount, state, expires_at)
    SELECT :tenant_id, :id, :metric, :period_start, :day, :amount, 'held', :expires_at FROM counter
)
SELECT used, reserved FROM counter
""")

_SETTLE = text("""
WITH reservation AS (
    UPDATE usage_reservations SET state = 'settled', updated_at = now()
    WHERE tenant_id = :tenant_id AND id = :id AND state = 'held'
    RETURNING tenant_id, id, metric, period_start, day, amount
), entry AS (
    INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason, reservation_id)
    SELECT tenant_id, :entry_id, metric, period_start, day, amount, 'settled', id FROM reservation
), daily AS (
    INSERT INTO usage_daily AS d (tenant_id, metric, day, amount)
    SELECT tenant_id, metric, day, amount FROM reservation
    ON CONFLICT (tenant_id, metric, day) DO UPDATE SET amount = d.amount + excluded.amount, updated_at = now()
)
UPDATE usage_counters c SET reserved = c.reserved - r.amount, used = c.used + r.amount, updated_at = now()
FROM reservation r
WHERE (c.tenant_id, c.metric, c.period_start) = (r.tenant_id, r.metric, r.period_start)
""")

_RELEASE = text("""
WITH reservation AS (
    UPDATE usage_reservations SET state = 'released', updated_at = now()
    WHERE tenant_id = :tenant_id AND id = :id AND state = 'held'
    RETURNING tenant_id, metric, period_start, amount
)
UPDATE usage_counters c SET reserved = c.reserved - r.amount, updated_at = now()
FROM reservation r
WHERE (c.tenant_id, c.metric, c.period_start) = (r.tenant_id, r.metric, r.period_start)
""")

_COUNT = """
, entry AS (
    INSERT INTO usage_ledger (tenant_id, id, metric, period_start, day, amount, reason)
    SELECT :tenant_id, :entry_id, :metric, :period_start, :day, CAST(:amount AS bigint), :reason FROM counter
), daily AS (
    INSERT INTO usage_daily AS d (tenant_id, metric, day, amount)
    SELECT :tenant_id, :metric, :day, CAST(:amount AS bigint) FROM counter
    ON CONFLICT (tenant_id, metric, day) DO UPDATE SET amount = d.amount + excluded.amount, updated_at = now()
)
SELECT used, reserved FROM counter
"""

_TAKE = text(f"""
WITH counter AS (
    INSERT INTO usage_counters AS c (tenant_id, metric, period_start, used)
    SELECT :tenant_id, :metric, :period_start, CAST(:amount AS bigint) WHERE CAST(:amount AS bigint) <= :cap
    ON CONFLICT (tenant_id, metric, period_start) DO UPDATE
    SET used = c.used + excluded.used, updated_at = now() WHERE c.used + c.reserved + excluded.used <= :cap
    RETURNING used, reserved
){_COUNT}""")  # noqa: S608  both parts are constants

_GIVE_BACK = text(f"""
WITH counter AS (
    UPDATE usage_counters SET used = used + CAST(:amount AS bigint), updated_at = now()
    WHERE tenant_id = :tenant_id AND metric = :metric AND period_start = :period_start
    RETURNING used, reserved
){_COUNT}""")  # noqa: S608  both parts are constants

_RELEASE_EXPIRED = text("""
WITH reservation AS (
    UPDATE usage_reservations SET state = 'released', updated_at = now()
    WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM usage_reservations WHERE state = 'held' AND expires_at <= :now
        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AND state = 'held'
    RETURNING tenant_id, metric, period_start, amount
), sums AS (
    SELECT tenant_id, metric, period_start, sum(amount) AS amount FROM reservation GROUP BY 1, 2, 3
), locked AS (
    SELECT tenant_id, metric, period_start, sums.amount
    FROM sums JOIN usage_counters USING (tenant_id, metric, period_start)
    ORDER BY 1, 2, 3 FOR UPDATE OF usage_counters
)
UPDATE usage_counters c SET reserved = c.reserved - l.amount, updated_at = now()
FROM locked l
WHERE (c.tenant_id, c.metric, c.period_start) = (l.tenant_id, l.metric, l.period_start)
""")

_ADD_WATERMARK = text("""
INSERT INTO usage_watermarks (name, reached) VALUES (:name, 'epoch') ON CONFLICT DO NOTHING
""")

_WATERMARK = text("SELECT reached, now() AS now FROM usage_watermarks WHERE name = :name")

_LOCK_WATERMARK = text("SELECT 1 FROM usage_watermarks WHERE name = :name FOR UPDATE")

_SUM_MONTHS = text("""
WITH changed AS (
    SELECT DISTINCT tenant_id, metric, date_trunc('month', day)::date AS month
    FROM usage_daily
    WHERE updated_at >= :since
      AND (tenant_id, metric, date_trunc('month', day)::date) > (:tenant_id, :metric, :month)
    ORDER BY 1, 2, 3
    LIMIT :limit
), written AS (
    INSERT INTO usage_monthly (tenant_id, metric, month, amount)
    SELECT c.tenant_id, c.metric, c.month, sum(d.amount)
    FROM changed AS c
    JOIN usage_daily AS d
      ON (d.tenant_id, d.metric) = (c.tenant_id, c.metric)
     AND d.day >= c.month AND d.day < c.month + interval '1 month'
    GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, metric, month) DO UPDATE SET amount = excluded.amount
)
SELECT tenant_id, metric, month FROM changed ORDER BY 1, 2, 3
""")

_ADVANCE_WATERMARK = text("UPDATE usage_watermarks SET reached = greatest(reached, :reached) WHERE name = :name")


@dataclass(frozen=True, slots=True)
class Figures:
    """A counter. Units held for work in progress are not used yet."""

    used: int = 0
    reserved: int = 0


class UsageRepo:
    """The counters and the ledger of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def reserve(
        self,
        *,
        reservation_id: UUID,
        metric: Metric,
        amount: int,
        period_start: date,
        day: date,
        cap: int,
        expires_at: datetime | None,
    ) -> Figures | None:
        """Hold `amount` units if the cap allows all of them; nothing changes otherwise."""
        return await self._count(
            _RESERVE,
            id=reservation_id,
            metric=metric.value,
            period_start=period_start,
            day=day,
            amount=amount,
            cap=cap,
            expires_at=expires_at,
        )

    async def settle(self, reservation_id: UUID) -> None:
        """The work was done: what was held is used. Repeating it changes nothing."""
        values = {"tenant_id": self._tenant_id, "id": reservation_id, "entry_id": new_id()}
        await self._session.execute(_SETTLE, values)

    async def release(self, reservation_id: UUID) -> None:
        """The work was not done: what was held is free. Repeating it changes nothing."""
        await self._session.execute(_RELEASE, {"tenant_id": self._tenant_id, "id": reservation_id})

    async def take(self, metric: Metric, *, amount: int, period_start: date, day: date, cap: int) -> Figures | None:
        """Use units at once, with the business row of the same transaction, if the cap allows all of them."""
        return await self._count(
            _TAKE,
            entry_id=new_id(),
            metric=metric.value,
            period_start=period_start,
            day=day,
            amount=amount,
            cap=cap,
            reason=LedgerReason.TAKEN.value,
        )

    async def give_back(self, metric: Metric, *, amount: int, period_start: date, day: date) -> None:
        """Undo `take` when the thing counted is gone."""
        await self._count(
            _GIVE_BACK,
            entry_id=new_id(),
            metric=metric.value,
            period_start=period_start,
            day=day,
            amount=-amount,
            reason=LedgerReason.GIVEN_BACK.value,
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
                        or_(counter.period_start == LEVEL_PERIOD, recent),
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

    async def entries(self, *, before: UUID | None, limit: int) -> Sequence[LedgerEntry]:
        """A page of the ledger, newest first."""
        statement = select(LedgerEntry).where(LedgerEntry.tenant_id == self._tenant_id)
        if before is not None:
            statement = statement.where(LedgerEntry.id < before)
        return (await self._session.scalars(statement.order_by(LedgerEntry.id.desc()).limit(limit))).all()

    async def _count(self, statement: TextClause, **values: Any) -> Figures | None:
        row = (await self._session.execute(statement, {"tenant_id": self._tenant_id, **values})).one_or_none()
        return Figures(row.used, row.reserved) if row else None


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
        await self._session.execute(_ADD_WATERMARK, self._NAME)
        row = (await self._session.execute(_WATERMARK, self._NAME)).one()
        return row.reached, row.now

    async def lock(self) -> None:
        """Take turns until the transaction ends.

        Whoever comes next looks at the days later than whoever came before: no older sum replaces a newer one.
        """
        await self._session.execute(_LOCK_WATERMARK, self._NAME)

    async def sum_changed(self, *, since: datetime, after: MonthKey, limit: int) -> list[MonthKey]:
        """Write the next months of which a day changed; returns them in order."""
        rows = await self._session.execute(_SUM_MONTHS, {"since": since, "limit": limit, **asdict(after)})
        return [MonthKey(row.tenant_id, row.metric, row.month) for row in rows]

    async def advance(self, reached: datetime) -> None:
        """What changed before is summed up."""
        await self._session.execute(_ADVANCE_WATERMARK, {"reached": reached, **self._NAME})


async def release_expired(session: AsyncSession, *, now: datetime, limit: int = 1000) -> None:
    """Free what died holding units. Needs a system transaction."""
    await session.execute(_RELEASE_EXPIRED, {"now": now, "limit": limit})
