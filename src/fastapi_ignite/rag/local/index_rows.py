"""Defines the rows that a document adds to the local index, and the statements that write and remove them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import text

from fastapi_ignite.rag.local.lexical import AverageLengths

# Statements on `chunks` leave the tenant to the policy: see the repository.
#
# COPY is not allowed into a table with row-level security. Text forms, because asyncpg has no binary one for sparsevec
# and no array of arrays of different lengths.
INSERT_CHUNKS = text("""
    INSERT INTO chunks (
        tenant_id, id, project_id, document_id, ordinal, char_start, char_end, page, text, context,
        surroundings, text_sha256, terms, lexical, term_count, average_length
    )
    SELECT :tenant_id, r.id, :project_id, r.document_id, r.ordinal, r.char_start, r.char_end, r.page, r.text,
        r.context, r.surroundings::jsonb, r.text_sha256, r.terms::integer[], r.lexical::sparsevec, r.term_count,
        r.average_length
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:document_id AS uuid[]), CAST(:ordinal AS integer[]),
        CAST(:char_start AS integer[]), CAST(:char_end AS integer[]), CAST(:page AS integer[]),
        CAST(:text AS text[]), CAST(:context AS text[]), CAST(:surroundings AS text[]),
        CAST(:text_sha256 AS bytea[]), CAST(:terms AS text[]), CAST(:lexical AS text[]),
        CAST(:term_count AS integer[]), CAST(:average_length AS real[])
    ) AS r (
        id, document_id, ordinal, char_start, char_end, page, text, context, surroundings, text_sha256, terms, lexical,
        term_count, average_length
    )
""")
INSERT_PARTS = text("""
    INSERT INTO document_parts (
        tenant_id, document_id, first_ordinal, chunk_count, terms, lexical, term_count, average_length
    )
    SELECT :tenant_id, r.document_id, r.first_ordinal, r.chunk_count, r.terms::integer[], r.lexical::sparsevec,
        r.term_count, r.average_length
    FROM unnest(
        CAST(:document_id AS uuid[]), CAST(:first_ordinal AS integer[]), CAST(:chunk_count AS integer[]),
        CAST(:terms AS text[]), CAST(:lexical AS text[]), CAST(:term_count AS integer[]),
        CAST(:average_length AS real[])
    ) AS r (document_id, first_ordinal, chunk_count, terms, lexical, term_count, average_length)
""")
# ordered by term: with the project's lock nobody competes, and the B-tree is walked once from left to right
COUNT_TERMS = text("""
    INSERT INTO term_stats AS known (tenant_id, project_id, term, df, part_df)
    SELECT :tenant_id, :project_id, held.term, sum(held.chunks), sum(held.parts)
    FROM (
        SELECT term, 1 AS chunks, 0 AS parts FROM chunks, unnest(terms) AS term
        WHERE document_id = ANY(CAST(:document_ids AS uuid[]))
        UNION ALL
        SELECT term, 0, 1 FROM document_parts, unnest(terms) AS term
        WHERE document_id = ANY(CAST(:document_ids AS uuid[]))
    ) AS held
    GROUP BY term ORDER BY term
    ON CONFLICT (tenant_id, project_id, term)
        DO UPDATE SET df = known.df + excluded.df, part_df = known.part_df + excluded.part_df
""")
REMOVE_CHUNKS = text("""
    WITH bounds AS (
        SELECT :row_limit + min(ordinal) AS below FROM chunks WHERE document_id = :document_id
    ), gone AS (
        DELETE FROM chunks WHERE document_id = :document_id AND ordinal < (SELECT below FROM bounds)
        RETURNING terms, term_count
    ), gone_parts AS (
        DELETE FROM document_parts WHERE document_id = :document_id AND first_ordinal < (SELECT below FROM bounds)
        RETURNING terms, term_count, chunk_count
    ), held AS (
        SELECT term, 1 AS chunks, 0 AS parts FROM gone, unnest(terms) AS term
        UNION ALL
        SELECT term, 0, 1 FROM gone_parts, unnest(terms) AS term
    ), lowered AS (
        INSERT INTO term_stats AS known (tenant_id, project_id, term, df, part_df)
        SELECT :tenant_id, :project_id, term, -sum(chunks), -sum(parts) FROM held GROUP BY term ORDER BY term
        ON CONFLICT (tenant_id, project_id, term)
            DO UPDATE SET df = known.df + excluded.df, part_df = known.part_df + excluded.part_df
    )
    SELECT c.*, p.* FROM (
        SELECT count(*) AS chunk_count, coalesce(sum(term_count), 0) AS chunk_terms FROM gone
    ) AS c, (
        SELECT count(*) AS part_count, coalesce(sum(chunk_count), 0) AS part_chunks,
            coalesce(sum(term_count), 0) AS part_terms
        FROM gone_parts
    ) AS p
""")


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk in the form in which the database reads it; `surroundings` is JSON, `terms` and `lexical` are text."""

    id: UUID
    document_id: UUID
    ordinal: int
    char_start: int
    char_end: int
    page: int | None
    text: str
    context: str | None
    surroundings: str | None
    text_sha256: bytes
    terms: str
    lexical: str
    term_count: int
    average_length: float


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part in the form in which the database reads it; `terms` and `lexical` are text."""

    document_id: UUID
    first_ordinal: int
    chunk_count: int
    terms: str
    lexical: str
    term_count: int
    average_length: float


class IndexSizes(NamedTuple):
    """What documents add to the sizes of a project's index, in the names of its columns."""

    chunk_count: int
    chunk_terms: int
    part_count: int
    part_chunks: int
    part_terms: int


def sizes_of(chunks: Sequence[ChunkRow], parts: Sequence[PartRow]) -> IndexSizes:
    return IndexSizes(
        chunk_count=len(chunks),
        chunk_terms=sum(chunk.term_count for chunk in chunks),
        part_count=len(parts),
        part_chunks=sum(part.chunk_count for part in parts),
        part_terms=sum(part.term_count for part in parts),
    )


class MeasuredIndex(Protocol):
    """The sizes of a project's index: a row of `rag_indexes`, or of a query."""

    @property
    def part_chunks(self) -> int: ...
    @property
    def chunk_terms(self) -> int: ...
    @property
    def part_count(self) -> int: ...
    @property
    def part_terms(self) -> int: ...


def averages_of(index: MeasuredIndex) -> AverageLengths | None:
    """Return the average lengths of a project's chunks and parts, or None while it has none with a term."""
    if not index.chunk_terms or not index.part_terms:
        return None
    return AverageLengths(index.chunk_terms / index.part_chunks, index.part_terms / index.part_count)


def columns(rows: Sequence[ChunkRow] | Sequence[PartRow]) -> dict[str, list[Any]]:
    """Return the values of the rows by column. There is at least one row."""
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(rows[0])}


def indexed_text(context: str | None, text: str) -> str:
    """Return the text that is searched and embedded in place of a chunk's text."""
    return f"{context}\n\n{text}" if context else text


def indexed_sha256(context: str | None, text: str) -> bytes:
    """Return the hash of what is embedded, by which chunks with the same vector are found."""
    return hashlib.sha256(indexed_text(context, text).encode()).digest()
