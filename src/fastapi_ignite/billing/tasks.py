"""The periodic jobs of billing."""

from __future__ import annotations

from fastapi_ignite.billing.provider import make_provider
from fastapi_ignite.billing.provider_sync import ProviderSync
from fastapi_ignite.billing.scheduled_changes import ScheduledChanges
from fastapi_ignite.infra.jobs import TaskContext, periodic


@periodic(seconds=60)
async def turn_over_subscriptions(context: TaskContext) -> None:
    """Store the plan changes whose day has come."""
    await ScheduledChanges(context.database).run()


@periodic(seconds=60)
async def sync_billing(context: TaskContext) -> None:
    """Tell the billing provider what changed, and store who has not paid."""
    provider = make_provider(context.settings)
    await ProviderSync(context.database, provider, grace_days=context.settings.billing.grace_days).run()
