"""The uploaded file: a row with a state, an attempt number and a lease."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, Timestamped
from fastapi_ignite.infra.jobs.leases import Leased


class FileState(StrEnum):
    """Where a file is. Callers see OpenAI's words: `public_status`."""

    QUEUED = "queued"
    EXTRACTING = "extracting"
    CHUNKING = "chunking"
    INDEXING = "indexing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETING = "deleting"
    DELETED = "deleted"


UNFINISHED = (FileState.QUEUED, FileState.EXTRACTING, FileState.CHUNKING, FileState.INDEXING)
GONE = (FileState.DELETING, FileState.DELETED)


def public_status(state: str) -> str:
    """`in_progress`, `completed`, `failed` or `cancelled`."""
    return "in_progress" if state in UNFINISHED else state


class File(Leased, Timestamped, Base):
    """`receipt` says what a deletion removed; `waits` is how many attempts ended because something was away:
    a provider, a disk or the database.
    """

    __tablename__ = "files"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"]),
        CheckConstraint(
            "state IN ('queued', 'extracting', 'chunking', 'indexing', 'completed', 'failed', 'cancelled', "
            "'deleting', 'deleted')",
            name="state",
        ),
        Index("ix_files_project", "tenant_id", "project_id", "id"),
        Index("ix_files_batch", "tenant_id", "batch_id"),
        Index("ix_files_document", "tenant_id", "document_id"),
        Index(
            "ix_files_unfinished",
            "lease_until",
            postgresql_where=text("state IN ('queued', 'extracting', 'chunking', 'indexing', 'deleting')"),
        ),
    )

    project_id: Mapped[UUID]
    batch_id: Mapped[UUID]
    filename: Mapped[str]
    byte_count: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    storage_key: Mapped[str | None]
    char_count: Mapped[int | None] = mapped_column(BigInteger)
    document_id: Mapped[UUID | None]
    deduplicated: Mapped[bool] = mapped_column(server_default=text("false"))
    reservation_id: Mapped[UUID | None]
    waits: Mapped[int] = mapped_column(server_default=text("0"))
    delete_raw: Mapped[bool] = mapped_column(server_default=text("false"))
    completed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    @property
    def tries(self) -> int:
        """Attempts that count: a worker died, or something failed that waiting may not mend."""
        return self.attempt - self.waits
