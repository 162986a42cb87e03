"""Uploaded files, uploads in progress, and what both take of a tenant's storage."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped
from fastapi_ignite.infra.jobs.leases import Leased


class FileState(StrEnum):
    """The state of a file. Callers see OpenAI's words for it: `public_status`."""

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
SEARCHABLE = (*UNFINISHED, FileState.COMPLETED)  # now, or soon
GONE = (FileState.DELETING, FileState.DELETED)
FINISHED = Counter("ignite_files_finished_total", "Files that reached an end", ["state", "code"])


def public_status(state: str) -> str:
    """Return `in_progress`, `completed`, `failed` or `cancelled`; a removed file keeps its own state."""
    return "in_progress" if state in UNFINISHED else state


class File(Leased, Timestamped, Base):
    """An uploaded file, or a version of one. What is `deleting` has a `Deletion` with its id, which a worker runs.

    A row with `version_of` is a version of that file, which callers do not see as a file. It is pending until its state
    is one of `GONE`; a file has at most one pending version. When that is ready, it changes places with its file: the
    file gets its content, and its row keeps what was replaced, with the bytes until `delete_raw` is set. `replaced_at`
    is null where a version was dropped before anybody could find it. `version` is the number of the row's content, and
    `latest_version` the highest number that the file has given.

    `waits` counts the attempts that ended because a provider, a disk or the database was away. `bytes_missing_at` is
    when the object of `storage_key` was found to be missing. A trigger counts stored bytes and unfinished files in
    `StorageUsage`.

    `attempts_before` is the part of `attempt` that belongs to no try since `queued_at`, when the file was uploaded or
    queued again. Another trigger sets `changed_by` to the transaction that changed state, error or attributes.
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
        Index(
            "ix_files_waiting",
            "tenant_id",
            "id",
            postgresql_where=text("state IN ('queued', 'extracting', 'chunking', 'indexing')"),
        ),
        Index("ix_files_changed", "tenant_id", "project_id", "changed_by"),
        Index("ix_files_storage_key", "storage_key", postgresql_where=text("storage_key IS NOT NULL")),
        Index(
            "ix_files_versions",
            "tenant_id",
            "version_of",
            "version",
            postgresql_where=text("version_of IS NOT NULL"),
        ),
        Index(
            "uq_files_pending_version",
            "tenant_id",
            "version_of",
            unique=True,
            postgresql_where=text("version_of IS NOT NULL AND state NOT IN ('deleting', 'deleted')"),
        ),
    )

    project_id: Mapped[UUID]
    batch_id: Mapped[UUID]
    filename: Mapped[str]
    byte_count: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    storage_key: Mapped[str | None] = mapped_column(Text(collation="C"))
    bytes_missing_at: Mapped[datetime | None]
    char_count: Mapped[int | None] = mapped_column(BigInteger)
    document_id: Mapped[UUID | None]
    deduplicated: Mapped[bool] = mapped_column(server_default=text("false"))
    reservation_id: Mapped[UUID | None]
    waits: Mapped[int] = mapped_column(server_default=text("0"))
    attempts_before: Mapped[int] = mapped_column(server_default=text("0"))
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_by: Mapped[int] = mapped_column(
        BigInteger, server_default=text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
    )
    delete_raw: Mapped[bool] = mapped_column(server_default=text("false"))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    completed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    # of the previous version; nobody uses it any more, and the next migration may drop it
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSONB, deferred=True)
    request_id: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(server_default=text("1"))
    latest_version: Mapped[int] = mapped_column(server_default=text("1"))
    version_of: Mapped[UUID | None]
    uploaded_at: Mapped[datetime] = mapped_column(server_default=func.now())
    uploaded_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    replaced_at: Mapped[datetime | None]

    @property
    def attempts(self) -> int:
        """The attempts of workers since the file was queued."""
        return self.attempt - self.attempts_before

    @property
    def tries(self) -> int:
        """The attempts that count: a worker died, or something failed that a later attempt may not mend."""
        return self.attempts - self.waits

    @property
    def stored_bytes(self) -> int:
        """The bytes of the tenant's storage that the file uses."""
        return self.byte_count if self.storage_key and not self.bytes_missing_at else 0


class StorageUsage(Base):
    """The row sums up what a tenant stores and queues, and what its uploads in progress reserve beyond that.

    One row decides for all uploads of a tenant: each reserves under the lock of this row. A trigger on `files` keeps
    `stored_bytes` and `unfinished_files`; uploads change the reserved columns.
    """

    __tablename__ = "storage_usage"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("stored_bytes >= 0 AND unfinished_files >= 0", name="counted"),
        CheckConstraint("reserved_bytes >= 0 AND reserved_files >= 0", name="reserved"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    stored_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unfinished_files: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reserved_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reserved_files: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Upload(TenantScoped, Base):
    """An upload in progress, and what it reserves. The transaction that writes the files' rows deletes this one.

    While there is a row, the objects of the upload may be in storage without rows of their own.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("ix_uploads_lease_until", "lease_until"),
    )

    reserved_bytes: Mapped[int] = mapped_column(BigInteger)
    reserved_files: Mapped[int] = mapped_column(BigInteger)
    lease_until: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SweepPosition(Base):
    """The row marks how far a sweep has come that does a part of its work in each run. It belongs to no tenant."""

    __tablename__ = "sweep_positions"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
