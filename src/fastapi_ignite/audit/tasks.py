"""Removes old events of the audit log every day."""

from __future__ import annotations

from datetime import time

from fastapi_ignite.audit.repository import remove_old_events
from fastapi_ignite.infra.jobs import TaskContext, periodic
from fastapi_ignite.infra.retention import remove_older

REMOVED_AT_A_TIME = 5_000


@periodic(daily_at=time(0, 50))
async def remove_old_audit(context: TaskContext) -> None:
    """Remove old events of the audit (`RETENTION_AUDIT_DAYS`)."""
    days = context.settings.retention.audit_days
    await remove_older(context.database, remove_old_events, days=days, batch=REMOVED_AT_A_TIME)
