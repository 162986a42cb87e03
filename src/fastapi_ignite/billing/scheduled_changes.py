"""Applies plan changes that were scheduled for a day. It may run late, twice, or in two processes at once."""

from __future__ import annotations

import structlog

from fastapi_ignite.billing import repository
from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database
from fastapi_ignite.tenants.repository import TenantRepo

BATCH = 200
log = structlog.get_logger(__name__)


class ScheduledChanges:
    """Writes due changes into the subscriptions. Readers compute them from their day on, so it may run late."""

    def __init__(self, database: Database, *, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch

    async def run(self) -> int:
        """Apply due changes, one short transaction for each batch. Return how many subscriptions changed."""
        count = 0
        while True:
            async with self._database.system() as session:
                tenants = TenantRepo(session)
                today = clock.today()
                due = await repository.claim_due(session, day=today, limit=self._batch)
                for subscription in due:
                    subscription.terms = subscription.terms.on(today)
                    await tenants.set_plan(
                        subscription.tenant_id,
                        plan_id=subscription.plan_id,
                        billing_cycle=subscription.billing_cycle,
                    )
            count += len(due)
            if len(due) < self._batch:
                if count:
                    log.info("subscriptions turned over", count=count)
                return count
