"""Fills a database with searchable chunks, past extraction and embedding, so that 200,000 of them take a minute.

The words are English and spread as in language (a few are frequent, most are rare), and a chunk has as many of them as
the chunks of real files. Its vector is near that of one of `TOPICS`. Vectors that are all alike, or all different,
would make a search by meaning look easier or harder than it is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.ingestion.models import FileState
from fastapi_ignite.rag.local.embedding import MINILM
from fastapi_ignite.rag.local.lexical import AVERAGE_LENGTH, DIMENSIONS, K1, B, dimension, posting_id
from fastapi_ignite.rag.text.analysis import analyze

TABLES = ("files", "term_stats", "chunks", "documents", "rag_indexes")
CHUNKS_OF_A_DOCUMENT = 50
WORDS_OF_A_CHUNK = 130
VOCABULARY = 20_000
TOPICS = 200
QUESTION_WORDS = 8
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
    "embedding",
]
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


async def fill(
    connection: asyncpg.Connection, owners: Sequence[tuple[UUID, UUID]], *, chunk_count: int, seed: int = 7
) -> list[SyntheticProject]:
    """Store the chunks in the projects, evenly, in place of what those tables held.

    `owners` are tenant and project of each; the projects have rows. The connection must be the owner's.
    """
    random = np.random.default_rng(seed)
    centers = random.standard_normal((TOPICS, MINILM.dimensions or 0))
    index = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_chunks_terms'")
    await connection.execute(f"DROP INDEX ix_chunks_terms; TRUNCATE {', '.join(TABLES)}")
    projects = []
    for number, (tenant_id, project_id) in enumerate(owners):
        size = chunk_count // len(owners) + (number < chunk_count % len(owners))
        projects.append(await _fill_project(connection, random, centers, tenant_id, project_id, size))
    await connection.execute(index)
    for table in TABLES:
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    return projects


async def _fill_project(
    connection: asyncpg.Connection,
    random: np.random.Generator,
    centers: npt.NDArray[np.float64],
    tenant_id: UUID,
    project_id: UUID,
    size: int,
) -> SyntheticProject:
    vocabulary = _words()
    postings = np.array([posting_id(project_id, term) for term in vocabulary.terms])
    holders = np.zeros(len(vocabulary.terms), dtype=np.int64)
    questions = []
    await connection.execute(
        "INSERT INTO rag_indexes (tenant_id, project_id, vector_store_id, engine, embedder, dimensions, chunk_count) "
        "VALUES ($1, $2, $3, 'local', $4, $5, $6)",
        tenant_id,
        project_id,
        f"vs_{project_id.hex}",
        MINILM.name,
        MINILM.dimensions,
        size,
    )
    for begin in range(0, size, CHUNKS_OF_A_DOCUMENT):
        count = min(CHUNKS_OF_A_DOCUMENT, size - begin)
        drawn = vocabulary.draw(random, count * WORDS_OF_A_CHUNK).reshape(count, WORDS_OF_A_CHUNK)
        texts = [" ".join([vocabulary.words[position] for position in row]) for row in drawn]
        questions += [" ".join(texts[0].split()[:QUESTION_WORDS])]
        topics = random.integers(0, TOPICS, count)
        vectors = centers[topics] + 0.7 * random.standard_normal((count, centers.shape[1]))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for row in drawn:
            known = vocabulary.term_of[row]
            holders[np.unique(known[known >= 0])] += 1
        document_id = await _add_document(connection, tenant_id, project_id, "\n".join(texts), count)
        rows = _chunk_rows((tenant_id, project_id, document_id), texts, drawn, postings, vectors)
        await connection.copy_to_table("chunks", source=_copied(rows), columns=_CHUNK_COLUMNS, format="binary")
    counted: dict[int, int] = {}
    for posting, held in zip(postings.tolist(), holders.tolist(), strict=True):
        if held:
            counted[posting] = counted.get(posting, 0) + held
    await connection.copy_records_to_table(
        "term_stats",
        records=[(tenant_id, project_id, posting, held) for posting, held in sorted(counted.items())],
        columns=["tenant_id", "project_id", "term", "df"],
    )
    return SyntheticProject(tenant_id, project_id, questions)


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
    owner: tuple[UUID, UUID, UUID],
    texts: Sequence[str],
    drawn: Integers,
    postings: Integers,
    vectors: npt.NDArray[np.float64],
) -> Iterator[list[bytes]]:
    """Yield the values of each chunk in PostgreSQL's binary format."""
    vocabulary = _words()
    tenant_id, project_id, document_id = owner
    start = 0
    for ordinal, (text, row, vector) in enumerate(zip(texts, drawn, vectors, strict=True)):
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
            _integer_array(np.unique(postings[known])),
            _sparsevec(vocabulary.dimension_of[known]),
            struct.pack("!hh", len(vector), 0) + vector.astype(">f2").tobytes(),
        ]
        start += len(text) + 1


def _integer_array(values: Integers) -> bytes:
    pairs = np.empty((len(values), 2), dtype=">i4")
    pairs[:, 0], pairs[:, 1] = 4, values
    return struct.pack("!iiiii", 1, 0, _INTEGER_OID, len(values), 1) + pairs.tobytes()


def _sparsevec(dimensions: Integers) -> bytes:
    """Return the document's side of BM25 (`lexical.document_weights`)."""
    places, frequencies = np.unique(dimensions, return_counts=True)
    norm = K1 * (1 - B + B * len(dimensions) / AVERAGE_LENGTH)
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
