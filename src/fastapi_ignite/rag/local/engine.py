"""The engine that needs nothing but PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.chunking import chunk_text
from fastapi_ignite.rag.engine import Answer, DocumentSource, RebuiltIndex, TokenUsage
from fastapi_ignite.rag.local.answering import REFUSAL, Quote, cite, select_quotes, shortlist
from fastapi_ignite.rag.local.embedding import count_tokens, halfvec_text, load_embedder
from fastapi_ignite.rag.local.lexical import lexical_form, sparsevec_text
from fastapi_ignite.rag.local.repository import (
    ChunkRow,
    LocalIndexRepository,
    Unembedded,
    UnembeddedDocument,
    claim_unembedded_document,
)
from fastapi_ignite.rag.local.retrieval import Retrieved, Retriever
from fastapi_ignite.rag.local.searching import LocalSearchRepository

PASSAGES = 6
# Parameters of one statement: large enough that round trips do not count, small enough for memory.
INSERT_BATCH = 500
PURGE_BATCH = 1000
# Chunks looked at for texts that are embedded already, and those embedded in one go: two to four seconds.
TWIN_BATCH = 256
EMBED_BATCH = 16


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document and its chunks in the forms the database reads."""

    source: DocumentSource
    rows: Sequence[ChunkRow]

    @property
    def chunk_count(self) -> int:
        return len(self.rows)

    async def write(self, session: AsyncSession) -> None:
        source = self.source
        index = LocalIndexRepository(session, source.tenant_id)
        row = await index.find_index(source.project_id)
        if row is None:
            raise NotFoundError("the project has no index")
        await index.insert_document(
            source,
            chunk_count=self.chunk_count,
            unembedded_count=0 if row.dimensions is None else self.chunk_count,
        )
        for start in range(0, self.chunk_count, INSERT_BATCH):
            await index.insert_chunks(source.project_id, source.document_id, self.rows[start : start + INSERT_BATCH])
        # taken last: writers of one project take turns for the counts only, not while thousands of chunks go in
        await index.lock_project(source.project_id)
        await index.count_terms(source.project_id, source.document_id)
        await index.add_to_chunk_count(source.project_id, self.chunk_count)
        written = await index.count_chunks(source.document_id)
        if written != self.chunk_count:
            raise RuntimeError(f"{written} of {self.chunk_count} chunks were written")


class LocalEngine:
    """`embedder` is for projects made from now on; the others keep theirs."""

    name = "local"
    paid = False

    def __init__(self, database: Database, embedder: str) -> None:
        self._database = database
        self._embedder = embedder
        self._retriever = Retriever(database)

    async def create_index(self, tenant_id: UUID, project_id: UUID) -> str:
        embedder = await asyncio.to_thread(load_embedder, self._embedder)
        async with self._database.tenant(tenant_id) as session:
            return await LocalIndexRepository(session, tenant_id).create_index(
                project_id,
                vector_store_id=f"vs_{new_id().hex}",
                engine=self.name,
                embedder=self._embedder,
                dimensions=embedder.dimensions if embedder else None,
            )

    async def prepare(self, source: DocumentSource) -> PreparedDocument:
        return PreparedDocument(source, await asyncio.to_thread(_rows, source))

    async def find(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> UUID | None:
        return await LocalIndexRepository(session, tenant_id).find_document(project_id, sha256)

    async def lock(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await LocalIndexRepository(session, tenant_id).lock_document(document_id)

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await LocalIndexRepository(session, tenant_id).hide(document_id)

    async def embedded(self, session: AsyncSession, tenant_id: UUID, project_id: UUID) -> Mapping[UUID, float]:
        return await LocalIndexRepository(session, tenant_id).embedded_shares(project_id)

    async def purge(self, tenant_id: UUID, document_id: UUID) -> int:
        """In transactions of a thousand chunks, so that no upload waits long for the project's lock."""
        total = 0
        while True:
            async with self._database.tenant(tenant_id) as session:
                index = LocalIndexRepository(session, tenant_id)
                project_id = await index.find_hidden_project(document_id)
                if project_id is None:
                    return total
                await index.lock_project(project_id)
                removed = await index.remove_chunks(project_id, document_id, PURGE_BATCH)
                total += removed
                if removed < PURGE_BATCH:
                    await index.remove_document(project_id, document_id)
                    return total

    async def damaged(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """No provider, nothing to lose."""
        del limit
        return ()

    async def rebuild(self, tenant_id: UUID, project_id: UUID) -> RebuiltIndex | None:
        del tenant_id, project_id
        return None

    async def sharpen(self) -> bool:
        async with self._database.system() as session:
            claimed = await claim_unembedded_document(session)
        if claimed is None:
            return False
        async with self._database.tenant(claimed.tenant_id) as session:
            waiting = await LocalIndexRepository(session, claimed.tenant_id).next_unembedded(
                claimed.document_id, claimed.embedder, TWIN_BATCH
            )
        embeddings = await asyncio.to_thread(_embeddings, claimed, waiting)
        async with self._database.tenant(claimed.tenant_id) as session:
            index = LocalIndexRepository(session, claimed.tenant_id)
            # hidden while the model worked: then the vectors are of no use
            if await index.lock_document(claimed.document_id):
                await index.set_embeddings(claimed.document_id, embeddings)
        return True

    async def ask(self, tenant_id: UUID, project_id: UUID, question: str, usage: TokenUsage) -> Answer:
        """Three short transactions; while the model works none is open."""
        found = await self._retriever.retrieve(tenant_id, project_id, question, limit=PASSAGES)
        quotes, tokens_in = await asyncio.to_thread(_read, question, found)
        usage.tokens_in += tokens_in
        if quotes:
            async with self._database.tenant(tenant_id) as session:
                quotes = await LocalSearchRepository(session, tenant_id).prove(quotes)
        answer = _answer(quotes)
        usage.tokens_out += await asyncio.to_thread(count_tokens, answer.text)
        return answer

    async def reconcile(self) -> int:
        """Everything is in the database, and goes with it."""
        return 0

    async def close(self) -> None:
        """Nothing is its own."""


def _rows(source: DocumentSource) -> list[ChunkRow]:
    rows = []
    for chunk in chunk_text(source.extracted.text, source.extracted.page_starts):
        form = lexical_form(source.project_id, chunk.text)
        rows.append(
            ChunkRow(
                id=new_id(),
                ordinal=chunk.ordinal,
                char_start=chunk.char_start,
                char_end=chunk.char_end,
                page=chunk.page,
                text=chunk.text,
                terms="{" + ",".join(map(str, form.terms)) + "}",
                lexical=sparsevec_text(form.weights),
            )
        )
    return rows


def _embeddings(document: UnembeddedDocument, waiting: Sequence[Unembedded]) -> list[tuple[UUID, str]]:
    """All that can be copied, and the first few that cannot."""
    copied = [(chunk.chunk_id, chunk.embedding) for chunk in waiting if chunk.embedding is not None]
    fresh = [chunk for chunk in waiting if chunk.embedding is None][:EMBED_BATCH]
    embedder = load_embedder(document.embedder)
    if not fresh or embedder is None:
        return copied
    vectors = embedder.embed_passages([chunk.text for chunk in fresh])
    return copied + [(chunk.chunk_id, halfvec_text(vector)) for chunk, vector in zip(fresh, vectors, strict=True)]


def _read(question: str, found: Retrieved | None) -> tuple[list[Quote], int]:
    """The quotes that answer, and the tokens read to find them."""
    tokens = count_tokens(question)
    if found is None:
        return [], tokens
    tokens += sum(count_tokens(passage.text) for passage in found.passages)
    evidence = shortlist(found.passages, found.terms)
    embedder = load_embedder(found.embedder)
    if embedder is not None and found.vector is not None and evidence:
        similarities = embedder.embed_passages([sentence.text for sentence in evidence]) @ found.vector
        evidence = [
            replace(sentence, similarity=float(similarity))
            for sentence, similarity in zip(evidence, similarities, strict=True)
        ]
    return select_quotes(evidence, found.terms), tokens


def _answer(quotes: Sequence[Quote]) -> Answer:
    text = "\n\n".join(quote.text for quote in quotes) or REFUSAL
    return Answer(text, answerable=bool(quotes), citations=cite(quotes))
