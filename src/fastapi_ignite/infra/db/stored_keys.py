"""Columns and behaviour that API keys and admin keys share."""

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
    """Only the HMAC of the key is stored. The row of a revoked key is kept, because the audit refers to it."""

    name: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    def is_active(self, now: datetime) -> bool:
        """Tell whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def last_used_is_stale(self, now: datetime) -> bool:
        """Tell whether the time of use should be written again. Most requests need not write it."""
        return self.last_used_at is None or self.last_used_at < now - LAST_USED_PRECISION


class LastUsedRecorder:
    """Writes when a key was last used, with a precision of one minute.

    It uses a transaction of its own, so that a valid key still works while the database is read-only.
    """

    def __init__(self) -> None:
        self._outage = OutageLog(log, away="last use of a key not recorded", back="last use of keys recorded again")

    async def record(
        self, key: StoredKey, now: datetime, transaction: Callable[[], AbstractAsyncContextManager[AsyncSession]]
    ) -> None:
        """Set the `last_used_at` of the key if it is stale. An outage of the database is logged, and not raised."""
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
