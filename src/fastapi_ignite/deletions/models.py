"""The deletion, a job whose row stays as the receipt."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, Timestamped
from fastapi_ignite.infra.jobs.leases import Leased


class Kind(StrEnum):
    """The kind of thing that is deleted."""

    FILE = "file"
    PROJECT = "project"
    TENANT = "tenant"


class DeletionState(StrEnum):
    """A deletion never fails: it is tried again until it is completed."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class Deletion(Leased, Timestamped, Base):
    """The deletion of a file, a project or a tenant, which nobody sees any more when this row is committed.

    `id` is the id of what is deleted: a thing has one receipt, however often it is deleted. The row of a tenant, whose
    `id` is its `tenant_id`, stays when nothing else of it does. The numbers say what was removed so far; `other_rows`
    are those that no other number counts, and `kept_events` the events that the audit keeps of an erased tenant.
    `document_id` is the document that goes with a file, or None if another file has the same document.
    `provider_ids` lists the first objects that were removed at a provider, and `provider_objects` counts all of them.
    """

    __tablename__ = "deletions"
    __table_args__ = (
        CheckConstraint("kind IN ('file', 'project', 'tenant')", name="kind"),
        CheckConstraint("state IN ('in_progress', 'completed')", name="state"),
        Index("ix_deletions_unfinished", "lease_until", postgresql_where=text("state = 'in_progress'")),
        Index("ix_deletions_completed_at", "completed_at", postgresql_where=text("state = 'completed'")),
        Index("ix_deletions_tenants", "tenant_id", postgresql_where=text("kind = 'tenant'")),
    )

    kind: Mapped[str]
    project_id: Mapped[UUID | None]
    document_id: Mapped[UUID | None]
    files: Mapped[int] = mapped_column(BigInteger, server_default="0")
    chunks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    conversations: Mapped[int] = mapped_column(BigInteger, server_default="0")
    messages: Mapped[int] = mapped_column(BigInteger, server_default="0")
    provider_objects: Mapped[int] = mapped_column(BigInteger, server_default="0")
    projects: Mapped[int] = mapped_column(BigInteger, server_default="0")
    exports: Mapped[int] = mapped_column(BigInteger, server_default="0")
    other_rows: Mapped[int] = mapped_column(BigInteger, server_default="0")
    kept_events: Mapped[int] = mapped_column(BigInteger, server_default="0")
    provider_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    completed_at: Mapped[datetime | None]
