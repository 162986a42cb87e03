"""Sum up days to months. This may run at any time, repeatedly, and in several processes at once."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import structlog

from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.repository import MonthKey, MonthlyUsageRepo

BATCH = 5000
# `updated_at` is when a transaction began. One that was still open during a run must be found by the next run.
OVERLAP = timedelta(hours=1)
FIRST = MonthKey(UUID(int=0), "", date.min)
log = structlog.get_logger(__name__)


class UsageRollUp:
    """Sums up the months in which a day changed since the last run. An interrupted run is repeated completely."""

    def __init__(self, database: Database, *, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch

    async def run(self) -> int:
        """Write the sums in batches, each in a short transaction, and return the number of months."""
        async with self._database.system() as session:
            reached, began = await MonthlyUsageRepo(session).watermark()
        after, count = FIRST, 0
        while True:
            async with self._database.system() as session:
                months = MonthlyUsageRepo(session)
                await months.lock()
                written = await months.sum_changed(since=reached - OVERLAP, after=after, limit=self._batch)
                if len(written) < self._batch:
                    await months.advance(began)
            count += len(written)
            if len(written) < self._batch:
                log.info("usage rolled up", months=count)
                return count
            after = written[-1]
