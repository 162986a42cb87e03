"""The engine that needs nothing but PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.answers.passage import Quote, cite, present, said
from fastapi_ignite.rag.answers.verified_stream import VerifiedStream
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import (
    Answer,
    AnswerEvent,
    AttributeCondition,
    DocumentSource,
    Final,
    FoundPassage,
    PreparedIndex,
    Purged,
    SourcesFound,
    TokenUsage,
)
from fastapi_ignite.rag.local.answerer import Answerer, Draft
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.embedding import EmbeddingModel
from fastapi_ignite.rag.local.embedding_backfill import Backfill
from fastapi_ignite.rag.local.extractive import ExtractiveAnswerer
from fastapi_ignite.rag.local.index_rows import averages_of
from fastapi_ignite.rag.local.indexing import PreparedDocument, prepare_document, write_documents
from fastapi_ignite.rag.local.lexical import AverageLengths
from fastapi_ignite.rag.local.models import Chunk, TermStat
from fastapi_ignite.rag.local.parts import PART_CHUNKS
from fastapi_ignite.rag.local.repository import LocalIndexRepository
from fastapi_ignite.rag.local.retrieval import Retriever
from fastapi_ignite.rag.local.vector_indexes import VectorIndexes
from fastapi_ignite.rag.local.whole_documents import WholeDocuments

PURGE_BATCH = 125 * PART_CHUNKS
TERMS_BATCH = 5000
DOCUMENTS_BATCH = 100
SHORT_TEXT = 4_000
# A search corrects scores by the averages of its moment, so those that a document is written with may be older.
AVERAGES_SECONDS = 10


class LocalEngine:
    """Searches and answers inside PostgreSQL.

    `embedder` is the embedder of new projects; the others keep theirs. `embedding` names the server of the embedder
    `http`. `answerer` answers the questions of all projects. Only a worker has `vector_indexes`.
    """

    name = "local"

    def __init__(
        self,
        database: Database,
        embedder: str,
        embedding: EmbeddingSettings | None = None,
        *,
        answerer: Answerer | None = None,
        vector_indexes: VectorIndexes | None = None,
    ) -> None:
        self._database = database
        self._embedders = Embedders(embedder, embedding)
        self._answerer = answerer or ExtractiveAnswerer(self._embedders)
        self._retriever = Retriever(database, self._embedders)
        self._backfill = Backfill(database, self._embedders)
        self._whole = WholeDocuments(database, self._embedders)
        self._vector_indexes = vector_indexes
        self._averages = Remembered(self._look_up_averages, seconds=AVERAGES_SECONDS)

    async def verify(self) -> None:
        await self._embedders.verify()

    @property
    def paid(self) -> bool:
        return self._answerer.paid

    async def create_index(self, tenant_id: UUID, project_id: UUID) -> str:
        model = self._embedders.default
        async with self._database.tenant(tenant_id) as session:
            return await LocalIndexRepository(session, tenant_id).create_index(
                project_id,
                vector_store_id=f"vs_{new_id().hex}",
                engine=self.name,
                embedder=model.name,
                dimensions=model.dimensions,
            )

    async def prepare(self, source: DocumentSource) -> PreparedDocument:
        project = (source.tenant_id, source.project_id)
        averages = await self._averages.get(project)
        if averages is None:
            self._averages.forget(project)  # the first documents are just being written
        if len(source.extracted.text) <= SHORT_TEXT:  # less than a millisecond, and a hop into a thread costs as much
            prepared = prepare_document(source, averages)
        else:
            prepared = await asyncio.to_thread(prepare_document, source, averages)
        return await self._whole.embed(prepared) if source.whole else prepared

    async def _look_up_averages(self, project: tuple[UUID, UUID]) -> AverageLengths | None:
        tenant_id, project_id = project
        async with self._database.tenant(tenant_id) as session:
            row = await LocalIndexRepository(session, tenant_id).find_index(project_id)
        return averages_of(row) if row else None

    async def write_together(self, session: AsyncSession, prepared: Sequence[PreparedIndex]) -> None:
        await write_documents(session, [each for each in prepared if isinstance(each, PreparedDocument)])

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await DocumentRepository(session, tenant_id).hide(document_id)

    async def embedded(
        self, session: AsyncSession, tenant_id: UUID, project_id: UUID, documents: Collection[UUID] | None = None
    ) -> Mapping[UUID, float]:
        shares = await DocumentRepository(session, tenant_id).embedded_shares(project_id, documents)
        row = await LocalIndexRepository(session, tenant_id).find_index(project_id)
        if row is not None and self._embedders.is_missing(EmbeddingModel(row.embedder, row.dimensions)):
            return dict.fromkeys(shares, 0.0)
        return shares

    async def purge(self, tenant_id: UUID, document_id: UUID) -> Purged:
        """Purge in transactions of a thousand chunks, so that no upload waits long for the project's lock."""
        total = 0
        while True:
            async with self._database.tenant(tenant_id) as session:
                index, documents = LocalIndexRepository(session, tenant_id), DocumentRepository(session, tenant_id)
                project_id = await documents.project_of_hidden(document_id)
                if project_id is None:
                    return Purged(total)
                await index.lock_project(project_id)
                removed = await index.remove_chunks(project_id, document_id, PURGE_BATCH)
                total += removed
                if removed < PURGE_BATCH:
                    await index.remove_unused_terms(project_id)
                    await documents.delete(document_id)
                    return Purged(total)

    async def remove_index(self, tenant_id: UUID, project_id: UUID) -> AsyncGenerator[Sequence[str]]:
        """Remove the rows. The vector index goes when the indexes are maintained the next time."""
        for table, batch in ((Chunk, PURGE_BATCH), (TermStat, TERMS_BATCH)):
            removed = batch
            while removed == batch:
                async with self._database.system() as session:
                    removed = await LocalIndexRepository(session, tenant_id).delete_some(table, project_id, batch)
                yield ()
        removed = DOCUMENTS_BATCH
        while removed == DOCUMENTS_BATCH:
            async with self._database.system() as session:
                removed = await DocumentRepository(session, tenant_id).delete_some(project_id, DOCUMENTS_BATCH)
            yield ()
        async with self._database.system() as session:
            await LocalIndexRepository(session, tenant_id).delete_index(project_id)

    async def backfill_embeddings(self) -> bool:
        return await self._backfill.step()

    async def maintain_indexes(self) -> None:
        if self._vector_indexes is not None:
            await self._vector_indexes.maintain()

    async def ask(
        self,
        tenant_id: UUID,
        project_id: UUID,
        question: str,
        usage: TokenUsage,
        *,
        stream: bool = False,
        within: AttributeCondition | None = None,
    ) -> AsyncGenerator[AnswerEvent]:
        found = await self._retriever.retrieve(
            tenant_id, project_id, question, limit=self._answerer.passages, within=within
        )
        passages = found.passages if found else []
        read_documents = {passage.document_id for passage in passages}

        async def prove(quotes: Sequence[Quote]) -> tuple[list[Quote], bool]:
            async with self._database.tenant(tenant_id) as session:
                documents = DocumentRepository(session, tenant_id)
                return await documents.prove(quotes), await documents.all_visible(read_documents)

        if stream:
            yield SourcesFound(present(passages))
        verified = VerifiedStream(prove)
        draft = Draft()
        async with aclosing(self._answerer.answer(question, found, usage, stream=stream)) as drafts:
            async for draft in drafts:
                if not draft.complete:
                    for event in await verified.advance(draft.text or "", draft.quotes):
                        yield event
        proven, all_visible = await prove(draft.quotes) if draft.quotes else ([], True)
        yield Final(_answer(draft, proven, all_visible=all_visible), outdated=not all_visible)

    async def search(
        self,
        tenant_id: UUID,
        project_id: UUID,
        query: str,
        limit: int,
        *,
        within: AttributeCondition | None = None,
        per_document: int | None = None,
    ) -> Sequence[FoundPassage]:
        """Search; the statement that reads a passage cuts it out of the stored text."""
        found = await self._retriever.retrieve(
            tenant_id, project_id, query, limit=limit, within=within, per_document=per_document
        )
        return present(found.passages) if found else ()

    async def close(self) -> None:
        await self._answerer.close()
        await self._embedders.close()


def _answer(draft: Draft, proven: Sequence[Quote], *, all_visible: bool) -> Answer:
    """Return what may leave: without a proven quote a refusal, and no word of a document hidden meanwhile."""
    if not proven:
        return Answer(draft.refusal, answerable=False, citations=(), truncated=draft.truncated)
    text = draft.text if all_visible else None
    if text is None:
        text = said(proven)
    return Answer(text, answerable=True, citations=cite(proven), truncated=draft.truncated)
