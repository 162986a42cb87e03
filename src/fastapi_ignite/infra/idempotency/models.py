"""The claim on an idempotency key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger, false
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base


class IdempotencyKey(Base):
    """A key that a request has claimed. The key itself is stored as SHA-256; its scope is tenant and route.

    `paid` means that the request may have cost money at a provider, so nobody runs it again when its owner dies.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("state IN ('in_progress', 'completed')", name="state"),
        Index("ix_idempotency_keys_expires_at", "expires_at"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str]
    claim_id: Mapped[UUID]
    paid: Mapped[bool] = mapped_column(server_default=false())
    resource: Mapped[str | None]
    answer_status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    claimed_at: Mapped[datetime]
    lease_until: Mapped[datetime]
    expires_at: Mapped[datetime]
