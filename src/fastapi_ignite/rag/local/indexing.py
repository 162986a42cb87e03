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
from fastapi_ignite.rag.local.lexical import lexical_form, sparsevec_text
from fastapi_ignite.rag.local.repository import ChunkRow, LocalIndexRepository, indexed_text
from fastapi_ignite.rag.text.chunking import chunk_text

# Parameters of one statement: large enough that round trips do not count, small enough for memory.
INSERT_BATCH = 500


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document and its chunks, ready to be written. `embeddings` are those that are known, by the chunk's id."""

    source: DocumentSource
    rows: Sequence[ChunkRow]
    embeddings: Sequence[tuple[UUID, str]] = ()

    @property
    def chunk_count(self) -> int:
        return len(self.rows)

    async def write(self, session: AsyncSession) -> None:
        await write_documents(session, [self])


def prepare_document(source: DocumentSource) -> PreparedDocument:
    """Cut the document into chunks, and compute what the index holds of each. This takes a while for a long one."""
    rows = []
    extracted = source.extracted
    for chunk in chunk_text(extracted.text, extracted.page_starts, extracted.spans):
        form = lexical_form(source.project_id, indexed_text(chunk.context, chunk.text))
        surroundings = chunk.surroundings.to_json()
        rows.append(
            ChunkRow(
                id=new_id(),
                document_id=source.document_id,
                ordinal=chunk.ordinal,
                char_start=chunk.char_start,
                char_end=chunk.char_end,
                page=chunk.page,
                text=chunk.text,
                context=chunk.context or None,
                surroundings=None if surroundings is None else json.dumps(surroundings, ensure_ascii=False),
                terms="{" + ",".join(map(str, form.terms)) + "}",
                lexical=sparsevec_text(form.weights),
            )
        )
    return PreparedDocument(source, rows)


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
    # taken last: writers of one project take turns for the counts only, not while thousands of chunks go in
    await index.lock_project(project_id)
    document_ids = [each.source.document_id for each in prepared]
    await index.count_terms(project_id, document_ids)
    await index.add_to_chunk_count(project_id, len(chunks))
    written = await index.count_chunks(document_ids)
    if written != len(chunks):
        raise RuntimeError(f"{written} of {len(chunks)} chunks were written")
    for each in prepared:
        for start in range(0, len(each.embeddings), INSERT_BATCH):
            await index.set_embeddings([each.source.document_id], each.embeddings[start : start + INSERT_BATCH])
