"""Rows of the local engine. Everything hangs on a project and goes with it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import SchemaItem

from fastapi_ignite.infra.db import Base, TenantScoped
from fastapi_ignite.rag.local.lexical import DIMENSIONS


def _of_project() -> SchemaItem:
    return ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE")


class RagIndex(Base):
    """A project's index. It keeps the engine and the embedder it was made with, whatever the settings say later.

    `dimensions` is empty without an embedder, and until the first vectors of one whose server had not answered yet.
    """

    __tablename__ = "rag_indexes"
    __table_args__ = (_of_project(), CheckConstraint("chunk_count >= 0", name="chunk_count"))

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    vector_store_id: Mapped[str]
    engine: Mapped[str]
    embedder: Mapped[str]
    dimensions: Mapped[int | None]
    chunk_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Document(TenantScoped, Base):
    """The stored text every quote is proven against. Equal bytes are one document of a project.

    `unembedded_count` is how many chunks wait for their embedding: none where the embedder is off. After each of
    `embedding_failures` in a row the document waits longer for its next turn.
    """

    __tablename__ = "documents"
    __table_args__ = (
        _of_project(),
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
    chunk_count: Mapped[int]
    unembedded_count: Mapped[int]
    embedding_lease_until: Mapped[datetime | None]
    embedding_failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    hidden_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Chunk(TenantScoped, Base):
    """One passage. `embedding` is empty until its turn comes; its length is its index's `dimensions`."""

    __tablename__ = "chunks"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "document_id", "ordinal"),
        Index("ix_chunks_tenant_id_project_id", "tenant_id", "project_id"),
        Index("ix_chunks_tenant_id_text_sha256", "tenant_id", "text_sha256"),
        Index("ix_chunks_terms", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    project_id: Mapped[UUID]
    document_id: Mapped[UUID]
    ordinal: Mapped[int]
    char_start: Mapped[int]
    char_end: Mapped[int]
    page: Mapped[int | None]
    text: Mapped[str]
    text_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    lexical: Mapped[str] = mapped_column(SPARSEVEC(DIMENSIONS))
    embedding: Mapped[list[float] | None] = mapped_column(HALFVEC())


class TermStat(Base):
    """In how many of a project's chunks a term stands; `term` is its posting id."""

    __tablename__ = "term_stats"
    __table_args__ = (_of_project(),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    term: Mapped[int] = mapped_column(primary_key=True)
    df: Mapped[int]
