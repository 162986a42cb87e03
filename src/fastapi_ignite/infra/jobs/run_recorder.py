"""The record of periodic jobs' successes in the database, which `health/ready` reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.declarations import PeriodicJob
from fastapi_ignite.infra.jobs.run_tracker import RunTracker
from fastapi_ignite.infra.periodic_runs import expect_runs, forget_runs, record_successes

RECORD_SECONDS = 15
REMOVE_SECONDS = 4
log = structlog.get_logger(__name__)


class RunRecorder:
    """Copies what the tracker knows to the database. What fails is tried again with the next record."""

    def __init__(self, database: Database, tracker: RunTracker, jobs: Iterable[PeriodicJob]) -> None:
        self._database = database
        self._tracker = tracker
        self._patience = {job.name: job.patience for job in jobs}

    async def run(self) -> None:
        """Write the record every 15 seconds until the task is cancelled."""
        expected = False
        while True:
            try:
                async with self._database.system() as session:
                    if not expected:
                        await expect_runs(session, self._patience)
                    await record_successes(session, self._tracker.since_success(), self._patience)
                expected = True
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.debug("successes not recorded", error=type(error).__name__)
            await asyncio.sleep(RECORD_SECONDS)

    async def remove(self) -> None:
        """Remove the record, so that `health/ready` knows that this scheduler stopped in order."""
        try:
            async with asyncio.timeout(REMOVE_SECONDS), self._database.system() as session:
                await forget_runs(session, self._patience)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.debug("successes not removed", error=type(error).__name__)
