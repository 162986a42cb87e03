"""Runs deletions in a worker, under a lease and again until they are completed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.outages import outage_of
from fastapi_ignite.deletions.models import Deletion, DeletionState
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError, keep_lease, next_try
from fastapi_ignite.rag.errors import ProviderError

log = structlog.get_logger(__name__)


class DeletionRunner:
    """Claims a deletion, keeps its lease while `remove` works, and puts it off where that fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, tenant_id: UUID, deletion_id: UUID, remove: Callable[[Deletion], Awaitable[None]]) -> None:
        """Call `remove` if nobody else works on the deletion. It has to end with `DeletionRepo.complete`.

        `remove` may raise anything, and is called again later, so it must go on from what an earlier call has left.
        """
        async with self._database.tenant(tenant_id) as session:
            deletion = await DeletionRepo(session, tenant_id).claim(
                deletion_id, states=(DeletionState.IN_PROGRESS,), state=DeletionState.IN_PROGRESS
            )
        if deletion is None:
            return
        structlog.contextvars.bind_contextvars(
            tenant_id=str(tenant_id), deletion_id=str(deletion_id), attempt=deletion.attempt
        )
        try:
            async with keep_lease(partial(self._extend_lease, deletion)):
                await remove(deletion)
        except StaleAttemptError:
            log.info("attempt overtaken")
        except Exception as error:  # noqa: BLE001  whatever broke, the deletion goes on later
            await self._put_off(deletion, error)
        else:
            log.info("deletion completed", kind=deletion.kind)

    async def _put_off(self, deletion: Deletion, error: Exception) -> None:
        wait = error.wait if isinstance(error, ProviderError) else timedelta()
        outage = outage_of(error)
        if isinstance(error, IgniteError):
            log.warning("deletion put off", code=error.code)
            code, message = error.code, error.detail
        else:
            log.error("deletion attempt failed", exc_info=error)
            code = outage.as_error().code if outage else "internal_error"
            message = "Something was not removed yet. It is tried again."
        try:
            async with self._database.tenant(deletion.tenant_id) as session:
                await DeletionRepo(session, deletion.tenant_id).advance(
                    deletion.id,
                    deletion.attempt,
                    lease_until=next_try(deletion.attempt, at_least=wait),
                    last_error={"code": code, "message": message},
                )
        except StaleAttemptError:
            log.info("attempt overtaken")

    async def _extend_lease(self, deletion: Deletion) -> None:
        async with self._database.tenant(deletion.tenant_id) as session:
            await DeletionRepo(session, deletion.tenant_id).extend_lease(deletion.id, deletion.attempt)
