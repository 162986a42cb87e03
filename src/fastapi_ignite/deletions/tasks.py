"""The periodic job of deletions."""

from __future__ import annotations

from datetime import time, timedelta

from fastapi_ignite.core import clock
from fastapi_ignite.deletions.repository import remove_old_receipts
from fastapi_ignite.infra.jobs import TaskContext, periodic

REMOVED_AT_A_TIME = 5_000


@periodic(daily_at=time(1, 0))
async def remove_old_deletions(context: TaskContext) -> None:
    """Remove receipts of deletions that were completed long ago (`RETENTION_RECEIPT_DAYS`)."""
    days = context.settings.retention.receipt_days
    if not days:
        return
    before = clock.now() - timedelta(days=days)
    removed = REMOVED_AT_A_TIME
    while removed == REMOVED_AT_A_TIME:
        async with context.database.system() as session:
            removed = await remove_old_receipts(session, before=before, limit=REMOVED_AT_A_TIME)
