"""Quotas: reserve units, do the work, then settle or release the reservation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.billing.stored_subscription import StoredPlan
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import PROJECTS_PERIOD_START, Metric
from fastapi_ignite.usage.quota_state import QuotaState, tell
from fastapi_ignite.usage.repository import Grant, UsageRepo, read_usage

RESERVED_RETRY_SECONDS = "5"


@dataclass(frozen=True, slots=True)
class Usage:
    """The units that are used now. Reserved units are not included."""

    projects: int
    messages_used: int
    chars_uploaded: int


def cap_of(plan: StoredPlan, metric: Metric) -> int:
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
    """It works in the caller's transaction, so a reservation and its purpose are one commit."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._repository = UsageRepo(session, tenant_id)

    async def reserve(self, metric: Metric, amount: int, *, lifetime: timedelta | None) -> UUID:
        """Reserve units for work that will begin. Without a `lifetime` the caller must always settle or release them.

        Raises:
            SubscriptionRequiredError: the tenant has no plan.
            QuotaExceededError: too few units are left.
        """
        (reservation_id,) = await self.reserve_each(metric, [amount], lifetime=lifetime)
        return reservation_id

    async def reserve_each(self, metric: Metric, amounts: Sequence[int], *, lifetime: timedelta | None) -> list[UUID]:
        """Reserve each of the amounts, or nothing if their sum is too much.

        Raises as `reserve` does.
        """
        now = clock.now()
        today = now.date()
        parts = {new_id(): amount for amount in amounts}
        expires_at = now + lifetime if lifetime else None
        grant = await self._repository.reserve(metric, amounts=parts, day=today, expires_at=expires_at)
        if grant is None:
            raise await self._refusal(metric, sum(amounts), today)
        tell(_state(metric, grant))
        return list(parts)

    async def settle(self, reservation_id: UUID) -> bool:
        """Count the reserved units as used. Return False if the reservation was settled or released before."""
        return await self.settle_each([reservation_id])

    async def settle_each(self, reservation_ids: Sequence[UUID]) -> bool:
        """Settle those that are still held. Return False if one was settled or released before."""
        return len(await self._repository.settle(reservation_ids)) == len(reservation_ids)

    async def release(self, *reservation_ids: UUID) -> None:
        """Give the reserved units back, because the work was not done."""
        if reservation_ids:
            await self._repository.release(reservation_ids)

    async def take_project(self) -> None:
        """Count one more project.

        Raises:
            SubscriptionRequiredError: the tenant has no plan.
            QuotaExceededError: the plan allows no more projects.
        """
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
        """Raise QuotaExceededError if no unit is left. Nothing is reserved."""
        today = clock.today()
        current = await self._current(metric, today)
        if current.used + current.reserved >= current.cap:
            raise await self._refusal(metric, 1, today)
        tell(_state(metric, current))

    async def _current(self, metric: Metric, day: date) -> Grant:
        active = await BillingService(self._session, self._tenant_id).required(day)
        counter = await self._repository.counter(metric, _period_start(active, metric))
        resets_on = None if metric is Metric.PROJECTS else active.quota.resets_on
        return Grant(cap_of(active.plan, metric), counter.used, counter.reserved, resets_on)

    async def _refusal(self, metric: Metric, amount: int, day: date) -> QuotaExceededError:
        """Return the error to raise, or raise SubscriptionRequiredError without a subscription.

        If only reserved units are in the way, the error has a Retry-After, because they may be released soon.
        """
        state = _state(metric, await self._current(metric, day))
        wait = {"Retry-After": RESERVED_RETRY_SECONDS} if state.used + amount <= state.cap else {}
        return QuotaExceededError(
            f"The plan allows {state.cap} {metric.value}. {state.used + state.reserved} are used or reserved, and "
            f"{amount} more were requested.",
            headers={**state.headers(), **wait},
            metric=metric.value,
            cap=state.cap,
            used=state.used,
            reserved=state.reserved,
            requested=amount,
            resets_at=state.resets_at.isoformat() if state.resets_at else None,
        )


async def read_overview(database: Database, tenant_id: UUID) -> tuple[ActiveSubscription, Usage] | None:
    """Return the subscription and the current usage, by one query, or None without a subscription."""
    today = clock.today()
    subscription, used = await read_usage(database, tenant_id, today)
    active = ActiveSubscription.of(subscription, today) if subscription else None
    return (active, _usage(active, used)) if active else None


def _usage(active: ActiveSubscription, counters: Mapping[tuple[str, date], int]) -> Usage:
    used = {metric: counters.get((metric.value, _period_start(active, metric)), 0) for metric in Metric}
    return Usage(
        projects=used[Metric.PROJECTS],
        messages_used=used[Metric.MESSAGES],
        chars_uploaded=used[Metric.CHARACTERS],
    )
