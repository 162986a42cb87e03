"""SQL of counters and reservations. Each decision is one statement under one row lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.usage.models import Metric, UsageCounter

_RESERVE = text("""
WITH counter AS (
    INSERT INTO usage_counters AS c (tenant_id, metric, period_start, reserved)
    SELECT :tenant_id, :metric, :period_start, CAST(:amount AS bigint) WHERE CAST(:amount AS bigint) <= :cap
    ON CONFLICT (tenant_id, metric, period_start) DO UPDATE
    SET reserved = c.reserved + excluded.reserved, updated_at = now()
    WHERE c.used + c.reserved + excluded.reserved <= :cap
    RETURNING 1
)
INSERT INTO usage_reservations (tenant_id, id, metric, period_start, day, amount, state, expires_at)
SELECT :tenant_id, :id, :metric, :period_start, :day, :amount, 'held', :expires_at FROM counter
RETURNING id
""")

_SETTLE = text("""
WITH reservation AS (
    UPDATE usage_reservations SET state = 'settled', updated_at = now()
    WHERE tenant_id = :tenant_id AND id = :id AND state = 'held'
    RETURNING tenant_id, metric, period_start, day, amount
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

_TAKE = text("""
INSERT INTO usage_counters AS c (tenant_id, metric, period_start, used)
SELECT :tenant_id, :metric, :period_start, CAST(:amount AS bigint) WHERE CAST(:amount AS bigint) <= :cap
ON CONFLICT (tenant_id, metric, period_start) DO UPDATE
SET used = c.used + excluded.used, updated_at = now() WHERE c.used + c.reserved + excluded.used <= :cap
RETURNING used
""")

_GIVE_BACK = text("""
UPDATE usage_counters SET used = used - :amount, updated_at = now()
WHERE tenant_id = :tenant_id AND metric = :metric AND period_start = :period_start
""")

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
)
UPDATE usage_counters c SET reserved = c.reserved - s.amount, updated_at = now()
FROM sums s
WHERE (c.tenant_id, c.metric, c.period_start) = (s.tenant_id, s.metric, s.period_start)
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


class UsageRepo:
    """The counters of one tenant."""

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
    ) -> bool:
        """Hold `amount` units if the cap allows all of them; false changes nothing."""
        row = await self._session.execute(
            _RESERVE.bindparams(bindparam("expires_at")),
            {
                "tenant_id": self._tenant_id,
                "id": reservation_id,
                "metric": metric.value,
                "period_start": period_start,
                "day": day,
                "amount": amount,
                "cap": cap,
                "expires_at": expires_at,
            },
        )
        return row.first() is not None

    async def settle(self, reservation_id: UUID) -> None:
        """The work was done: what was held is used. Repeating it changes nothing."""
        await self._session.execute(_SETTLE, {"tenant_id": self._tenant_id, "id": reservation_id})

    async def release(self, reservation_id: UUID) -> None:
        """The work was not done: what was held is free. Repeating it changes nothing."""
        await self._session.execute(_RELEASE, {"tenant_id": self._tenant_id, "id": reservation_id})

    async def take(self, metric: Metric, *, amount: int, period_start: date, cap: int) -> bool:
        """Use units at once, with the business row of the same transaction."""
        values = {
            "tenant_id": self._tenant_id,
            "metric": metric.value,
            "period_start": period_start,
            "amount": amount,
            "cap": cap,
        }
        return (await self._session.execute(_TAKE, values)).first() is not None

    async def give_back(self, metric: Metric, *, amount: int, period_start: date) -> None:
        """Undo `take` when the thing counted is gone."""
        await self._session.execute(
            _GIVE_BACK,
            {
                "tenant_id": self._tenant_id,
                "metric": metric.value,
                "period_start": period_start,
                "amount": amount,
            },
        )

    async def figures(self, periods: Mapping[Metric, date]) -> dict[Metric, tuple[int, int]]:
        """`(used, reserved)` of each metric in its window; a window without a row is empty."""
        rows = await self._session.execute(
            select(UsageCounter.metric, UsageCounter.period_start, UsageCounter.used, UsageCounter.reserved).where(
                UsageCounter.tenant_id == self._tenant_id, UsageCounter.period_start.in_(set(periods.values()))
            )
        )
        found = {(row.metric, row.period_start): (row.used, row.reserved) for row in rows}
        return {metric: found.get((metric.value, start), (0, 0)) for metric, start in periods.items()}


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
