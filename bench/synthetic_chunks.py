"""Fills a database with searchable chunks, past extraction and embedding, so that 200,000 of them take a minute.

The words are English and spread as in language (a few are frequent, most are rare), and a chunk has as many of them as
the chunks of real files. Its vector is near that of one of `TOPICS`. Vectors that are all alike, or all different,
would make a search by meaning look easier or harder than it is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Self, cast
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.ingestion.models import FileState
from fastapi_ignite.rag.local.embedding import MINILM
from fastapi_ignite.rag.local.lexical import DIMENSIONS, K1, B, dimension, posting_id
from fastapi_ignite.rag.local.models import Chunk
from fastapi_ignite.rag.local.parts import PART_CHUNKS
from fastapi_ignite.rag.text.analysis import analyze

TABLES = ("files", "term_stats", "document_parts", "chunks", "documents", "rag_indexes")
CHUNKS_OF_A_DOCUMENT = 50
WORDS_OF_A_CHUNK = 130
# the terms of a chunk, and of a part: stop words are none
AVERAGE_LENGTH = 110
VOCABULARY = 20_000
TOPICS = 200
QUESTION_WORDS = 8
SEED = 7
# Cosine of two chunks of a topic: 1 / (1 + 0.7²) = 0.67. Of two topics: 0.
NOISE = 0.7
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = struct.pack("!h", -1)
_INTEGER_OID = 23
_CHUNK_COLUMNS = [
    "tenant_id",
    "id",
    "project_id",
    "document_id",
    "ordinal",
    "char_start",
    "char_end",
    "text",
    "text_sha256",
    "terms",
    "lexical",
    "term_count",
    "average_length",
    "embedding",
]
_PART_COLUMNS = [
    "tenant_id",
    "document_id",
    "first_ordinal",
    "chunk_count",
    "terms",
    "lexical",
    "term_count",
    "average_length",
]
_FORGET_TERMS = "DELETE FROM term_stats WHERE tenant_id = $1 AND project_id = $2"
_COUNT_TERMS = """
INSERT INTO term_stats (tenant_id, project_id, term, df, part_df)
SELECT $1, $2, term, sum(chunks), sum(parts) FROM (
    SELECT term, 1 AS chunks, 0 AS parts FROM chunks, unnest(terms) AS term WHERE tenant_id = $1 AND project_id = $2
    UNION ALL
    SELECT term, 0, 1 FROM document_parts AS p JOIN documents AS d ON d.tenant_id = $1 AND d.id = p.document_id,
        unnest(p.terms) AS term
    WHERE p.tenant_id = $1 AND d.project_id = $2
) AS held GROUP BY term
"""
_COUNT_CHUNKS = """
INSERT INTO rag_indexes (
    tenant_id, project_id, vector_store_id, engine, embedder, dimensions, chunk_count, part_chunks, chunk_terms,
    part_count, part_terms
)
SELECT $1, $2, $3, 'local', $4, $5, c.count, c.count, c.terms, p.count, p.terms
FROM (
    SELECT count(*), coalesce(sum(term_count), 0) AS terms FROM chunks WHERE tenant_id = $1 AND project_id = $2
) AS c, (
    SELECT count(*), coalesce(sum(p.term_count), 0) AS terms
    FROM document_parts AS p JOIN documents AS d ON d.tenant_id = $1 AND d.id = p.document_id
    WHERE p.tenant_id = $1 AND d.project_id = $2
) AS p
ON CONFLICT (tenant_id, project_id) DO UPDATE SET
    chunk_count = excluded.chunk_count, part_chunks = excluded.part_chunks, chunk_terms = excluded.chunk_terms,
    part_count = excluded.part_count, part_terms = excluded.part_terms
"""
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SyntheticProject:
    """A project, and questions in the words of its chunks."""

    tenant_id: UUID
    id: UUID
    questions: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Words:
    """The words that chunks are made of. A word without a term (a stop word) has `-1` in `term_of`."""

    words: Sequence[str]
    terms: Sequence[str]
    term_of: Integers
    dimension_of: Integers
    cumulated: npt.NDArray[np.float64]

    def draw(self, random: np.random.Generator, count: int) -> Integers:
        """Return the positions of as many words, the first of the list most often."""
        positions: Integers = np.searchsorted(self.cumulated, random.random(count) * self.cumulated[-1])
        return positions


@cache
def _words() -> _Words:
    lines = (files("fastapi_ignite.rag.text") / "minilm_vocab.txt").read_text().splitlines()
    words = [line for line in lines if line.isascii() and line.isalpha() and len(line) > 1][:VOCABULARY]
    terms: dict[str, int] = {}
    found = [analyze(word) for word in words]
    term_of = np.array([terms.setdefault(each[0], len(terms)) if each else -1 for each in found])
    return _Words(
        words,
        list(terms),
        term_of,
        np.array([dimension(term) for term in terms]),
        np.cumsum(1 / (np.arange(len(words)) + 20)),
    )


@cache
def _centers() -> npt.NDArray[np.float64]:
    return np.random.default_rng(SEED).standard_normal((TOPICS, MINILM.dimensions or 0))


def make_vectors(random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Return vectors of length 1, each near the centre of a topic."""
    centers = _centers()
    vectors = centers[random.integers(0, TOPICS, count)] + NOISE * random.standard_normal((count, centers.shape[1]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@dataclass(frozen=True, slots=True)
class SyntheticDocument:
    """A document. The same numbers make the same document again. `drawn` has the positions of its words, by chunk."""

    texts: Sequence[str]
    drawn: Integers
    vectors: npt.NDArray[np.float64]

    @classmethod
    def make(cls, project_number: int, number: int, chunk_count: int = CHUNKS_OF_A_DOCUMENT) -> Self:
        vocabulary = _words()
        random = np.random.default_rng((SEED, project_number, number))
        drawn = vocabulary.draw(random, chunk_count * WORDS_OF_A_CHUNK).reshape(chunk_count, WORDS_OF_A_CHUNK)
        texts = [" ".join([vocabulary.words[position] for position in row]) for row in drawn]
        return cls(texts, drawn, make_vectors(random, chunk_count))

    @property
    def question(self) -> str:
        """Return words of its first chunk."""
        return " ".join(self.texts[0].split()[:QUESTION_WORDS])


async def fill(
    connection: asyncpg.Connection, owners: Sequence[tuple[UUID, UUID]], *, chunk_count: int
) -> list[SyntheticProject]:
    """Store the chunks in the projects, evenly, in place of what those tables held.

    `owners` are tenant and project of each; the projects have rows. The connection must be the owner's.
    """
    await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
    projects = []
    async with without_word_index(connection):
        for number, (tenant_id, project_id) in enumerate(owners):
            size = chunk_count // len(owners) + (number < chunk_count % len(owners))
            added = add_documents(connection, tenant_id, project_id, number, size)
            projects.append(SyntheticProject(tenant_id, project_id, [document.question async for document in added]))
            await count_chunks(connection, tenant_id, project_id)
    for table in TABLES:
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    return projects


@asynccontextmanager
async def without_word_index(connection: asyncpg.Connection) -> AsyncGenerator[None]:
    """Drop the index of words, and build it at the end, also where an earlier run was interrupted before that."""
    index = next(each for each in cast("Table", Chunk.__table__).indexes if each.name == "ix_chunks_terms")
    await connection.execute("DROP INDEX IF EXISTS ix_chunks_terms")
    yield
    statement = CreateIndex(index).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    await connection.execute(str(statement))


async def add_documents(
    connection: asyncpg.Connection,
    tenant_id: UUID,
    project_id: UUID,
    project_number: int,
    size: int,
    *,
    begin: int = 0,
    chunks_of_a_document: int = CHUNKS_OF_A_DOCUMENT,
) -> AsyncIterator[SyntheticDocument]:
    """Yield the documents of a project of `size` chunks from number `begin` on, each after its rows are committed."""
    vocabulary = _words()
    postings = np.array([posting_id(project_id, term) for term in vocabulary.terms])
    for number in range(begin, -(-size // chunks_of_a_document)):
        count = min(chunks_of_a_document, size - number * chunks_of_a_document)
        document = SyntheticDocument.make(project_number, number, count)
        async with connection.transaction():
            document_id = await _add_document(connection, tenant_id, project_id, "\n".join(document.texts), count)
            rows = _chunk_rows((tenant_id, project_id, document_id), document, postings)
            await connection.copy_to_table("chunks", source=_copied(rows), columns=_CHUNK_COLUMNS, format="binary")
            parts = _part_rows((tenant_id, document_id), document, postings)
            await connection.copy_to_table(
                "document_parts", source=_copied(parts), columns=_PART_COLUMNS, format="binary"
            )
        yield document


async def count_chunks(connection: asyncpg.Connection, tenant_id: UUID, project_id: UUID) -> None:
    """Write the project's index row and its counts of terms anew."""
    await connection.execute(_FORGET_TERMS, tenant_id, project_id)
    await connection.execute(_COUNT_TERMS, tenant_id, project_id)
    await connection.execute(
        _COUNT_CHUNKS, tenant_id, project_id, f"vs_{project_id.hex}", MINILM.name, MINILM.dimensions
    )


async def _add_document(
    connection: asyncpg.Connection, tenant_id: UUID, project_id: UUID, text: str, chunk_count: int
) -> UUID:
    """Insert a document and its file."""
    document_id, file_id = new_id(), new_id()
    digest = hashlib.sha256(text.encode()).digest()
    await connection.execute(
        "INSERT INTO documents (tenant_id, id, project_id, sha256, media_type, text, char_count, chunk_count, "
        "unembedded_count) VALUES ($1, $2, $3, $4, 'text/plain', $5, $6, $7, 0)",
        tenant_id,
        document_id,
        project_id,
        digest,
        text,
        len(text),
        chunk_count,
    )
    await connection.execute(
        "INSERT INTO files (tenant_id, id, project_id, batch_id, filename, byte_count, sha256, char_count, "
        "document_id, state, completed_at, notified_at) VALUES ($1, $2, $3, $2, $4, $5, $6, $5, $7, $8, $9, $9)",
        tenant_id,
        file_id,
        project_id,
        f"{document_id.hex}.txt",
        len(text),
        digest,
        document_id,
        FileState.COMPLETED,
        clock.now(),
    )
    return document_id


def _chunk_rows(
    owner: tuple[UUID, UUID, UUID], document: SyntheticDocument, postings: Integers
) -> Iterator[list[bytes]]:
    """Yield the values of each chunk in PostgreSQL's binary format."""
    vocabulary = _words()
    tenant_id, project_id, document_id = owner
    start = 0
    for ordinal, (text, row, vector) in enumerate(zip(document.texts, document.drawn, document.vectors, strict=True)):
        known = vocabulary.term_of[row]
        known = known[known >= 0]
        encoded = text.encode()
        yield [
            tenant_id.bytes,
            new_id().bytes,
            project_id.bytes,
            document_id.bytes,
            struct.pack("!i", ordinal),
            struct.pack("!i", start),
            struct.pack("!i", start + len(text)),
            encoded,
            hashlib.sha256(encoded).digest(),
            *_lexical_columns(known, postings, AVERAGE_LENGTH),
            struct.pack("!hh", len(vector), 0) + vector.astype(">f2").tobytes(),
        ]
        start += len(text) + 1


def _part_rows(owner: tuple[UUID, UUID], document: SyntheticDocument, postings: Integers) -> Iterator[list[bytes]]:
    """Yield the values of each part in PostgreSQL's binary format."""
    tenant_id, document_id = owner
    for first in range(0, len(document.drawn), PART_CHUNKS):
        known = _words().term_of[document.drawn[first : first + PART_CHUNKS].ravel()]
        count = min(PART_CHUNKS, len(document.drawn) - first)
        yield [
            tenant_id.bytes,
            document_id.bytes,
            struct.pack("!i", first),
            struct.pack("!i", count),
            *_lexical_columns(known[known >= 0], postings, PART_CHUNKS * AVERAGE_LENGTH),
        ]


def _lexical_columns(known: Integers, postings: Integers, average_length: int) -> list[bytes]:
    """Return terms, vector, length and average length."""
    return [
        _integer_array(np.unique(postings[known])),
        _sparsevec(_words().dimension_of[known], average_length),
        struct.pack("!i", len(known)),
        struct.pack("!f", average_length),
    ]


def _integer_array(values: Integers) -> bytes:
    pairs = np.empty((len(values), 2), dtype=">i4")
    pairs[:, 0], pairs[:, 1] = 4, values
    return struct.pack("!iiiii", 1, 0, _INTEGER_OID, len(values), 1) + pairs.tobytes()


def _sparsevec(dimensions: Integers, average_length: int) -> bytes:
    """Return the document's side of BM25 (`lexical.document_weights`)."""
    places, frequencies = np.unique(dimensions, return_counts=True)
    norm = K1 * (1 - B + B * len(dimensions) / average_length)
    weights = frequencies * (K1 + 1) / (frequencies + norm)
    header = struct.pack("!iii", DIMENSIONS, len(places), 0)
    return header + places.astype(">i4").tobytes() + weights.astype(">f4").tobytes()


async def _copied(rows: Iterator[list[bytes]]) -> AsyncIterator[bytes]:
    """Yield the rows as COPY reads them: https://www.postgresql.org/docs/current/sql-copy.html."""
    yield _COPY_HEADER
    for row in rows:
        parts: list[Any] = [struct.pack("!h", len(row))]
        for value in row:
            parts += (struct.pack("!i", len(value)), value)
        yield b"".join(parts)
    yield _COPY_END
