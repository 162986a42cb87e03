"""Tells the billing provider of subscriptions that changed. It may run late, twice, or in two processes at once."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from uuid import UUID

import structlog

from fastapi_ignite.billing import repository
from fastapi_ignite.billing.models import Subscription
from fastapi_ignite.billing.provider import Account, BillingProvider, PaymentStatus
from fastapi_ignite.billing.repository import SubscriptionRepo
from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database

BATCH = 200
log = structlog.get_logger(__name__)


class ProviderSync:
    """Sends changed subscriptions to the provider, and stores who has not paid."""

    def __init__(self, database: Database, provider: BillingProvider, *, grace_days: int, batch: int = BATCH) -> None:
        self._database = database
        self._provider = provider
        self._grace_days = grace_days
        self._batch = batch

    async def run(self) -> int:
        """Send every changed subscription, and return how many were sent. A failure does not stop the others."""
        if not self._provider.collects:
            return 0
        after, count = UUID(int=0), 0
        since = datetime.combine(clock.today(), time(), tzinfo=UTC)
        while True:
            async with self._database.system() as session:
                seen_at = await repository.database_time(session)
                subscriptions = await repository.unsynced(session, since=since, after=after, limit=self._batch)
            for subscription in subscriptions:
                count += await self._sync(subscription, seen_at)
            if len(subscriptions) < self._batch:
                return count
            after = subscriptions[-1].tenant_id

    async def tell(self, tenant_id: UUID) -> None:
        """Send the subscription of one tenant now, if it has one. An error of the provider is raised as it is."""
        if not self._provider.collects:
            return
        async with self._database.system() as session:
            subscription = await SubscriptionRepo(session, tenant_id).get()
        if subscription is not None:
            await self._provider.sync(_account(subscription, clock.today()))

    async def _sync(self, subscription: Subscription, seen_at: datetime) -> bool:
        today = clock.today()
        account = _account(subscription, today)
        try:
            status = await self._provider.sync(account)
        except Exception:
            log.exception("billing provider failed", provider=self._provider.name, tenant_id=str(account.tenant_id))
            return False
        async with self._database.system() as session:
            current = await SubscriptionRepo(session, account.tenant_id).lock()
            if current is None:
                return False
            terms = current.terms
            paid = status is PaymentStatus.PAID
            terms = terms.paid() if paid else terms.unpaid(account.window, today, self._grace_days)
            changed = current.updated_at != subscription.updated_at
            await repository.record_payment_status(session, current, terms, seen_at=None if changed else seen_at)
        return True


def _account(subscription: Subscription, today: date) -> Account:
    terms, plan = subscription.terms.on(today), subscription.plan_on(today)
    served = terms.last_served(today)
    return Account(
        tenant_id=subscription.tenant_id,
        subscription_id=subscription.id,
        plan_id=terms.plan_id,
        cycle=terms.cycle,
        window=terms.billing_window(served),
        price=plan.price(terms.cycle),
        currency=plan.currency,
        ends_on=terms.ends_on if served == today else terms.ended_on,
    )
