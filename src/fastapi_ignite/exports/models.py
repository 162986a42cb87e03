"""The export, a job whose result is an archive in storage."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, Timestamped
from fastapi_ignite.infra.jobs.leases import Leased


class ExportState(StrEnum):
    """The state of an export. Callers do not see an expired one; a worker removes its bytes, then its row."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"


IN_PROGRESS = (ExportState.QUEUED, ExportState.RUNNING)
ENDED = (ExportState.COMPLETED, ExportState.FAILED)
RUNNING_CONDITION = text("state IN ('queued', 'running')")


class Export(Leased, Timestamped, Base):
    """An export of a tenant, which has at most one in progress."""

    __tablename__ = "exports"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("state IN ('queued', 'running', 'completed', 'failed', 'expired')", name="state"),
        Index("uq_exports_running", "tenant_id", unique=True, postgresql_where=RUNNING_CONDITION),
        Index(
            "ix_exports_unfinished",
            "lease_until",
            postgresql_where=text("state IN ('queued', 'running', 'expired')"),
        ),
        Index("ix_exports_expires_at", "expires_at", postgresql_where=text("state IN ('completed', 'failed')")),
    )

    include_files: Mapped[bool]
    storage_key: Mapped[str | None]
    byte_count: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    completed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
