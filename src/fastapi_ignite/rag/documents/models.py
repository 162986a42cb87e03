"""The table of the stored documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Integer, LargeBinary, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import SchemaItem

from fastapi_ignite.infra.db import Base, TenantScoped


def project_key() -> SchemaItem:
    """Return a foreign key to the project; the row is deleted with it."""
    return ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE")


class Document(TenantScoped, Base):
    """A document's text, which every quote is proven against. Files of equal bytes share one document of a project.

    `unembedded_count` is the number of chunks that have no embedding yet; it is 0 where nothing is embedded here. After
    each of `embedding_failures` in a row the document waits longer before it is embedded again. `spans` are those of
    the extraction in their compact form, and null in documents that were stored before there were any.
    """

    __tablename__ = "documents"
    __table_args__ = (
        project_key(),
        Index(
            "uq_documents_visible_sha256",
            "tenant_id",
            "project_id",
            "sha256",
            unique=True,
            postgresql_where=text("hidden_at IS NULL"),
        ),
        Index("ix_documents_hidden", "tenant_id", "project_id", postgresql_where=text("hidden_at IS NOT NULL")),
        Index(
            "ix_documents_unembedded",
            "created_at",
            "id",
            postgresql_where=text("hidden_at IS NULL AND unembedded_count > 0"),
        ),
    )

    project_id: Mapped[UUID]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    media_type: Mapped[str]
    text: Mapped[str]
    char_count: Mapped[int] = mapped_column(BigInteger)
    page_starts: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    spans: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    chunk_count: Mapped[int]
    unembedded_count: Mapped[int]
    embedding_lease_until: Mapped[datetime | None]
    embedding_failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    hidden_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
