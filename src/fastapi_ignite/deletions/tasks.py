"""Removes old receipts of deletions every day."""

from __future__ import annotations

from datetime import time

from fastapi_ignite.deletions.repository import remove_old_receipts
from fastapi_ignite.infra.jobs import TaskContext, periodic
from fastapi_ignite.infra.retention import remove_older

REMOVED_AT_A_TIME = 5_000


@periodic(daily_at=time(1, 0))
async def remove_old_deletions(context: TaskContext) -> None:
    """Remove old receipts of deletions (`RETENTION_RECEIPT_DAYS`)."""
    days = context.settings.retention.receipt_days
    await remove_older(context.database, remove_old_receipts, days=days, batch=REMOVED_AT_A_TIME)
