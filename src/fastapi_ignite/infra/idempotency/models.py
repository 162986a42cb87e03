"""The claim on an idempotency key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base


class IdempotencyKey(Base):
    """Keys are kept as SHA-256; the scope is tenant and route."""

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
    resource: Mapped[str | None]
    claimed_at: Mapped[datetime]
    lease_until: Mapped[datetime]
    expires_at: Mapped[datetime]
