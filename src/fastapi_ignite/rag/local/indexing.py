"""Cuts documents into chunks, and writes the chunks with their documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.rag.documents.repository import DocumentRepository, NewDocument
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.local.embedders import NO_EMBEDDER
from fastapi_ignite.rag.local.index_rows import ChunkRow, PartRow, indexed_sha256, sizes_of
from fastapi_ignite.rag.local.lexical import AverageLengths, LexicalForm, lexical_form, sparsevec_text
from fastapi_ignite.rag.local.parts import parts_of
from fastapi_ignite.rag.local.repository import LocalIndexRepository
from fastapi_ignite.rag.text.chunking import TextChunk, chunk_text

# Parameters of one statement: large enough that round trips do not count, small enough for memory.
INSERT_BATCH = 500
USUAL_LENGTHS = AverageLengths(chunk=80, part=300)


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document and its chunks, ready to be written. `embeddings` are those that are known, by the chunk's id."""

    source: DocumentSource
    rows: Sequence[ChunkRow]
    parts: Sequence[PartRow]
    embeddings: Sequence[tuple[UUID, str]] = ()

    @property
    def chunk_count(self) -> int:
        return len(self.rows)

    async def write(self, session: AsyncSession) -> None:
        await write_documents(session, [self])


def prepare_document(source: DocumentSource, averages: AverageLengths | None) -> PreparedDocument:
    """Cut the document into chunks, and compute what the index holds of each. This takes a while for a long one.

    Without `averages`, because the project is empty, those of most files are taken.
    """
    extracted = source.extracted
    chunks = chunk_text(extracted.text, extracted.page_starts, extracted.spans)
    averages = averages or USUAL_LENGTHS
    rows, part_rows = [], []
    for part in parts_of(extracted.text, extracted.spans, chunks):
        form = lexical_form(source.project_id, part.frequencies, averages.part)
        part_rows.append(PartRow(source.document_id, part.first, len(part.chunks), *_columns(form)))
        for ordinal, frequencies in enumerate(part.chunks, part.first):
            form = lexical_form(source.project_id, frequencies, averages.chunk)
            rows.append(_chunk_row(source.document_id, chunks[ordinal], form))
    return PreparedDocument(source, rows, part_rows)


def _chunk_row(document_id: UUID, chunk: TextChunk, form: LexicalForm) -> ChunkRow:
    surroundings = chunk.surroundings.to_json()
    return ChunkRow(
        new_id(),
        document_id,
        chunk.ordinal,
        chunk.char_start,
        chunk.char_end,
        chunk.page,
        chunk.text,
        chunk.context or None,
        None if surroundings is None else json.dumps(surroundings, ensure_ascii=False),
        indexed_sha256(chunk.context, chunk.text),
        *_columns(form),
    )


def _columns(form: LexicalForm) -> tuple[str, str, int, float]:
    return "{" + ",".join(map(str, form.terms)) + "}", sparsevec_text(form.weights), form.length, form.average_length


async def write_documents(session: AsyncSession, prepared: Sequence[PreparedDocument]) -> None:
    """Write documents of one project with their chunks.

    Raises:
        NotFoundError: the project has no index.
    """
    tenant_id, project_id = prepared[0].source.tenant_id, prepared[0].source.project_id
    index = LocalIndexRepository(session, tenant_id)
    row = await index.find_index(project_id)
    if row is None:
        raise NotFoundError("the project has no index")
    embeds = row.embedder != NO_EMBEDDER.name
    await DocumentRepository(session, tenant_id).insert(
        [NewDocument(each.source, each.chunk_count, each.chunk_count if embeds else 0) for each in prepared]
    )
    chunks = [chunk for each in prepared for chunk in each.rows]
    for start in range(0, len(chunks), INSERT_BATCH):
        await index.insert_chunks(project_id, chunks[start : start + INSERT_BATCH])
    parts = [part for each in prepared for part in each.parts]
    for start in range(0, len(parts), INSERT_BATCH):
        await index.insert_parts(parts[start : start + INSERT_BATCH])
    # taken last: writers of one project take turns for the counts only, not while thousands of chunks go in
    await index.lock_project(project_id)
    document_ids = [each.source.document_id for each in prepared]
    await index.count_terms(project_id, document_ids)
    await index.add_to_sizes(project_id, sizes_of(chunks, parts))
    written = await index.count_chunks(document_ids)
    if written != len(chunks):
        raise RuntimeError(f"{written} of {len(chunks)} chunks were written")
    for each in prepared:
        for start in range(0, len(each.embeddings), INSERT_BATCH):
            await index.set_embeddings([each.source.document_id], each.embeddings[start : start + INSERT_BATCH])
