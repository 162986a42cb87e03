"""Reserve, then work, then settle or release."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.models import Plan
from fastapi_ignite.billing.service import ActiveSubscription, BillingService
from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.repository import UsageRepo

LEVEL_PERIOD = date(1970, 1, 1)


class QuotaExceededError(IgniteError):
    """The plan's cap does not hold the units asked for; none of them was taken."""

    status = 402
    code = "quota_exceeded"
    title = "Quota exceeded"


@dataclass(frozen=True, slots=True)
class Usage:
    """What counts against the caps now. Units held for work in progress are not used yet."""

    projects: int
    messages_used: int
    chars_uploaded: int


def cap_of(plan: Plan, metric: Metric) -> int:
    """The plan's cap on a metric."""
    return {
        Metric.PROJECTS: plan.max_projects,
        Metric.MESSAGES: plan.monthly_message_cap,
        Metric.CHARACTERS: plan.monthly_upload_char_cap,
    }[metric]


def _period_start(active: ActiveSubscription, metric: Metric) -> date:
    return LEVEL_PERIOD if metric is Metric.PROJECTS else active.quota.start


class UsageService:
    """Works in the caller's transaction, so a reservation and what it is for are one commit."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._billing = BillingService(session, tenant_id)
        self._repository = UsageRepo(session, tenant_id)

    async def reserve(self, metric: Metric, amount: int, *, lifetime: timedelta | None) -> UUID:
        """Hold units for work about to begin. `lifetime` null: the caller always ends it.

        Raises:
            SubscriptionRequiredError: the tenant has no plan.
            QuotaExceededError: the cap is too small.
        """
        active = await self._billing.required()
        reservation_id = new_id()
        held = await self._repository.reserve(
            reservation_id=reservation_id,
            metric=metric,
            amount=amount,
            period_start=_period_start(active, metric),
            day=clock.today(),
            cap=cap_of(active.plan, metric),
            expires_at=clock.now() + lifetime if lifetime else None,
        )
        if not held:
            raise await self._exceeded(active, metric, amount)
        return reservation_id

    async def settle(self, reservation_id: UUID) -> None:
        """The work was done."""
        await self._repository.settle(reservation_id)

    async def release(self, reservation_id: UUID) -> None:
        """The work was not done."""
        await self._repository.release(reservation_id)

    async def take_project(self) -> None:
        """Count one more project."""
        active = await self._billing.required()
        cap = cap_of(active.plan, Metric.PROJECTS)
        if not await self._repository.take(Metric.PROJECTS, amount=1, period_start=LEVEL_PERIOD, cap=cap):
            raise await self._exceeded(active, Metric.PROJECTS, 1)

    async def give_back_project(self) -> None:
        """Count one project less."""
        await self._repository.give_back(Metric.PROJECTS, amount=1, period_start=LEVEL_PERIOD)

    async def require_room(self, metric: Metric) -> None:
        """Refuse early when nothing at all is left; reserves nothing."""
        active = await self._billing.required()
        used, reserved = (await self._repository.figures({metric: _period_start(active, metric)}))[metric]
        if used + reserved >= cap_of(active.plan, metric):
            raise await self._exceeded(active, metric, 1)

    async def usage(self, active: ActiveSubscription) -> Usage:
        """The figures of today's windows."""
        figures = await self._repository.figures({metric: _period_start(active, metric) for metric in Metric})
        return Usage(
            projects=figures[Metric.PROJECTS][0],
            messages_used=figures[Metric.MESSAGES][0],
            chars_uploaded=figures[Metric.CHARACTERS][0],
        )

    async def _exceeded(self, active: ActiveSubscription, metric: Metric, amount: int) -> QuotaExceededError:
        used, reserved = (await self._repository.figures({metric: _period_start(active, metric)}))[metric]
        cap = cap_of(active.plan, metric)
        resets_at = (
            None
            if metric is Metric.PROJECTS
            else datetime.combine(active.quota.resets_on, time(), tzinfo=UTC).isoformat()
        )
        return QuotaExceededError(
            f"The plan allows {cap} {metric.value}; {used + reserved} are used or held, and "
            f"{amount} more were asked for.",
            metric=metric.value,
            cap=cap,
            used=used,
            reserved=reserved,
            requested=amount,
            resets_at=resets_at,
        )
