"""What every kind of key that we hand out keeps in its row."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import structlog
from sqlalchemy import LargeBinary, func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.core.outages import outage_of

log = structlog.get_logger(__name__)

LAST_USED_PRECISION = timedelta(minutes=1)


class StoredKey:
    """The key itself is not kept, only its HMAC. An ended key stays as a row: the audit names it."""

    name: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    def is_active(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def last_used_is_stale(self, now: datetime) -> bool:
        """Tell whether the time of use should be written again: not every request shall write."""
        return self.last_used_at is None or self.last_used_at < now - LAST_USED_PRECISION


class LastUsedRecorder:
    """Writes when keys were last used, to the minute.

    It does so in a transaction of its own: a database that takes no changes must not refuse a key that it can read.
    """

    def __init__(self) -> None:
        self._outage = OutageLog(log, away="use of a key not noted", back="use of keys noted again")

    async def note(
        self, key: StoredKey, now: datetime, transaction: Callable[[], AbstractAsyncContextManager[AsyncSession]]
    ) -> None:
        """Write `now` into the row of this `key`, where it is due. No outage of the database is raised."""
        if not key.last_used_is_stale(now):
            return
        try:
            async with transaction() as session:
                kind = type(key)
                await session.execute(update(kind).where(kind.digest == key.digest).values(last_used_at=now))
        except Exception as error:
            if outage_of(error) is None:
                raise
            self._outage.failed(error)
        else:
            self._outage.answered()
