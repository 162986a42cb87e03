"""Reserve, then work, then settle or release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.models import Plan
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import PROJECTS_PERIOD_START, Metric
from fastapi_ignite.usage.quota_state import QuotaState, tell
from fastapi_ignite.usage.repository import Figures, Grant, UsageRepo

HELD_RETRY_SECONDS = "5"


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
    return PROJECTS_PERIOD_START if metric is Metric.PROJECTS else active.quota.start


def _state(metric: Metric, grant: Grant) -> QuotaState:
    return QuotaState(
        metric=metric.value,
        cap=grant.cap,
        used=grant.used,
        reserved=grant.reserved,
        resets_at=datetime.combine(grant.resets_on, time(), tzinfo=UTC) if grant.resets_on else None,
    )


class UsageService:
    """Works in the caller's transaction, so a reservation and what it is for are one commit."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._repository = UsageRepo(session, tenant_id)

    async def reserve(self, metric: Metric, amount: int, *, lifetime: timedelta | None) -> UUID:
        """Hold units for work about to begin. `lifetime` null: the caller always ends it.

        Raises:
            SubscriptionRequiredError: the tenant has no plan.
            QuotaExceededError: the cap is too small.
        """
        reservation_id, now = new_id(), clock.now()
        today = now.date()
        grant = await self._repository.reserve(
            metric,
            reservation_id=reservation_id,
            amount=amount,
            day=today,
            expires_at=now + lifetime if lifetime else None,
        )
        if grant is None:
            raise await self._refusal(metric, amount, today)
        tell(_state(metric, grant))
        return reservation_id

    async def settle(self, reservation_id: UUID) -> bool:
        """The work was done. False: the units were settled or released before, and nothing changed."""
        return await self._repository.settle(reservation_id)

    async def release(self, reservation_id: UUID) -> None:
        """The work was not done."""
        await self._repository.release(reservation_id)

    async def take_project(self) -> None:
        """Count one more project."""
        today = clock.today()
        grant = await self._repository.take(Metric.PROJECTS, amount=1, day=today)
        if grant is None:
            raise await self._refusal(Metric.PROJECTS, 1, today)
        tell(_state(Metric.PROJECTS, grant))

    async def give_back_project(self) -> None:
        """Count one project less."""
        await self._repository.give_back(
            Metric.PROJECTS, amount=1, period_start=PROJECTS_PERIOD_START, day=clock.today()
        )

    async def require_room(self, metric: Metric) -> None:
        """Refuse early when nothing at all is left; reserves nothing."""
        today = clock.today()
        current = await self._current(metric, today)
        if current.used + current.reserved >= current.cap:
            raise await self._refusal(metric, 1, today)
        tell(_state(metric, current))

    async def overview(self) -> tuple[ActiveSubscription, Usage] | None:
        """The subscription and the figures of today's windows, in one round trip; nothing without a subscription."""
        today = clock.today()
        subscription, figures = await self._repository.overview(today)
        active = ActiveSubscription.of(subscription, today) if subscription else None
        if active is None:
            return None
        return active, _usage(active, figures)

    async def _current(self, metric: Metric, day: date) -> Grant:
        active = await BillingService(self._session, self._tenant_id).required(day)
        figures = await self._repository.figures(metric, _period_start(active, metric))
        resets_on = None if metric is Metric.PROJECTS else active.quota.resets_on
        return Grant(cap_of(active.plan, metric), figures.used, figures.reserved, resets_on)

    async def _refusal(self, metric: Metric, amount: int, day: date) -> QuotaExceededError:
        """Why nothing was granted; without a subscription that is another error.

        Where the cap has room beside what is only held for work in progress, asking again soon may help.
        """
        state = _state(metric, await self._current(metric, day))
        wait = {"Retry-After": HELD_RETRY_SECONDS} if state.used + amount <= state.cap else {}
        return QuotaExceededError(
            f"The plan allows {state.cap} {metric.value}; {state.used + state.reserved} are used or held, and "
            f"{amount} more were asked for.",
            headers={**state.headers(), **wait},
            metric=metric.value,
            cap=state.cap,
            used=state.used,
            reserved=state.reserved,
            requested=amount,
            resets_at=state.resets_at.isoformat() if state.resets_at else None,
        )


def _usage(active: ActiveSubscription, figures: Mapping[tuple[str, date], Figures]) -> Usage:
    used = {metric: figures.get((metric.value, _period_start(active, metric)), Figures()).used for metric in Metric}
    return Usage(
        projects=used[Metric.PROJECTS],
        messages_used=used[Metric.MESSAGES],
        chars_uploaded=used[Metric.CHARACTERS],
    )
