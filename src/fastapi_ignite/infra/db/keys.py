"""What every kind of key that we hand out keeps in its row."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

USE_NOTED_EVERY = timedelta(minutes=1)


class StoredKey:
    """The key itself is not kept, only its HMAC. An ended key stays as a row: the audit names it."""

    name: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    def in_force(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def note_use(self, now: datetime) -> None:
        """To the minute: not every request shall write."""
        if self.last_used_at is None or self.last_used_at < now - USE_NOTED_EVERY:
            self.last_used_at = now
