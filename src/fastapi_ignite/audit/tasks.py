"""The periodic job of the audit log."""

from __future__ import annotations

from datetime import time, timedelta

from fastapi_ignite.audit.repository import remove_old_events
from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs import TaskContext, periodic

REMOVED_AT_A_TIME = 5_000


@periodic(daily_at=time(0, 50))
async def remove_old_audit(context: TaskContext) -> None:
    """Remove old events of the audit (`RETENTION_AUDIT_DAYS`)."""
    days = context.settings.retention.audit_days
    if not days:
        return
    before = clock.now() - timedelta(days=days)
    removed = REMOVED_AT_A_TIME
    while removed >= REMOVED_AT_A_TIME:
        async with context.database.system() as session:
            removed = await remove_old_events(session, before=before, limit=REMOVED_AT_A_TIME)
