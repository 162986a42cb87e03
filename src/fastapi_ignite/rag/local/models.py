"""The tables of the local engine. Their rows are deleted with the project."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped
from fastapi_ignite.rag.documents.models import project_key
from fastapi_ignite.rag.local.lexical import DIMENSIONS


class RagIndex(Base):
    """The index of a project. It keeps the embedder that it was made with, whatever the settings say later.

    `dimensions` is null without an embedder, and until the embedder's server has answered for the first time.

    Of `chunk_count` chunks, `part_chunks` belong to one of `part_count` parts; chunks of versions before this one do
    not. `chunk_terms` and `part_terms` are the numbers of terms in those chunks and parts, with repetitions.
    """

    __tablename__ = "rag_indexes"
    __table_args__ = (project_key(), CheckConstraint("chunk_count >= 0", name="chunk_count"))

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    vector_store_id: Mapped[str]
    engine: Mapped[str]
    embedder: Mapped[str]
    dimensions: Mapped[int | None]
    chunk_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    part_chunks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    chunk_terms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    part_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    part_terms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Chunk(TenantScoped, Base):
    """A passage of a document. `embedding` is null until it was computed, and has the `dimensions` of the index.

    `context` is indexed and embedded before `text`, and `text_sha256` is of both. `surroundings` is what the passage
    knows of its document (`text/surroundings.py`). Both are null where there is nothing to know. `term_count` is the
    number of terms, and `average_length` is the average that `lexical` was computed with; both are null in chunks of
    versions before this one.
    """

    __tablename__ = "chunks"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "document_id", "ordinal"),
        Index("ix_chunks_tenant_id_project_id", "tenant_id", "project_id"),
        Index("ix_chunks_tenant_id_text_sha256", "tenant_id", "text_sha256"),
        Index("ix_chunks_terms", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        {"info": {"optional_indexes": {"ix_chunks_embedding_*"}}},  # those of large projects, see `vector_indexes`
    )

    project_id: Mapped[UUID]
    document_id: Mapped[UUID]
    ordinal: Mapped[int]
    char_start: Mapped[int]
    char_end: Mapped[int]
    page: Mapped[int | None]
    text: Mapped[str]
    context: Mapped[str | None]
    surroundings: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    text_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    lexical: Mapped[str] = mapped_column(SPARSEVEC(DIMENSIONS))
    term_count: Mapped[int | None]
    average_length: Mapped[float | None] = mapped_column(REAL)
    embedding: Mapped[list[float] | None] = mapped_column(HALFVEC())


class DocumentPart(Base):
    """The words of neighbouring chunks, from the one with ordinal `first_ordinal` on. See `parts.py`."""

    __tablename__ = "document_parts"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    first_ordinal: Mapped[int] = mapped_column(primary_key=True)
    chunk_count: Mapped[int]
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    lexical: Mapped[str] = mapped_column(SPARSEVEC(DIMENSIONS))
    term_count: Mapped[int]
    average_length: Mapped[float] = mapped_column(REAL)


class TermStat(Base):
    """The numbers of a project's chunks and parts that hold a term. `term` is the term's posting id."""

    __tablename__ = "term_stats"
    __table_args__ = (project_key(),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    term: Mapped[int] = mapped_column(primary_key=True)
    df: Mapped[int]
    part_df: Mapped[int] = mapped_column(server_default="0")
