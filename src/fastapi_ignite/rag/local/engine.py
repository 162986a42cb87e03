"""The engine that needs nothing but PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.sections import EmbeddingSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.chunking import chunk_text
from fastapi_ignite.rag.engine import Answer, Citation, DocumentSource
from fastapi_ignite.rag.extraction import page_at
from fastapi_ignite.rag.local.answering import REFUSAL, Evidence, Quote, select_quotes, shortlist
from fastapi_ignite.rag.local.embedders import WORDS_ALONE, Embedders
from fastapi_ignite.rag.local.embedding import EmbeddingModel, Vectors, count_tokens
from fastapi_ignite.rag.local.lexical import lexical_form, sparsevec_text
from fastapi_ignite.rag.local.repository import ChunkRow, LocalIndexRepository
from fastapi_ignite.rag.local.retrieval import Retrieved, Retriever
from fastapi_ignite.rag.local.searching import LocalSearchRepository
from fastapi_ignite.rag.local.sharpening import Sharpener

PASSAGES = 6
# Parameters of one statement: large enough that round trips do not count, small enough for memory.
INSERT_BATCH = 500
PURGE_BATCH = 1000


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
            unembedded_count=0 if row.embedder == WORDS_ALONE.name else self.chunk_count,
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
    """`embedder` is for projects made from now on; the others keep theirs. `embedding` is the server of `http`."""

    name = "local"
    paid = False

    def __init__(self, database: Database, embedder: str, embedding: EmbeddingSettings | None = None) -> None:
        self._database = database
        self._embedders = Embedders(embedder, embedding)
        self._retriever = Retriever(database, self._embedders)
        self._sharpener = Sharpener(database, self._embedders)

    async def verify(self) -> None:
        await self._embedders.verify()

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
        return PreparedDocument(source, await asyncio.to_thread(_rows, source))

    async def find(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> UUID | None:
        return await LocalIndexRepository(session, tenant_id).find_document(project_id, sha256)

    async def lock(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await LocalIndexRepository(session, tenant_id).lock_document(document_id)

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await LocalIndexRepository(session, tenant_id).hide(document_id)

    async def embedded(self, session: AsyncSession, tenant_id: UUID, project_id: UUID) -> Mapping[UUID, float]:
        index = LocalIndexRepository(session, tenant_id)
        shares = await index.embedded_shares(project_id)
        row = await index.find_index(project_id)
        if row is not None and self._embedders.lacks(EmbeddingModel(row.embedder, row.dimensions)):
            return dict.fromkeys(shares, 0.0)
        return shares

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

    async def sharpen(self) -> bool:
        return await self._sharpener.step()

    async def ask(self, tenant_id: UUID, project_id: UUID, question: str) -> Answer:
        """Three short transactions; while the model works none is open."""
        found = await self._retriever.retrieve(tenant_id, project_id, question, limit=PASSAGES)
        quotes, tokens_in = await self._read(question, found)
        if quotes:
            async with self._database.tenant(tenant_id) as session:
                quotes = await LocalSearchRepository(session, tenant_id).prove(quotes)
        return await asyncio.to_thread(_answer, quotes, tokens_in)

    async def reconcile(self) -> int:
        """Everything is in the database, and goes with it."""
        return 0

    async def close(self) -> None:
        await self._embedders.close()

    async def _read(self, question: str, found: Retrieved | None) -> tuple[list[Quote], int]:
        """The quotes that answer, and the tokens read to find them."""
        tokens, evidence = await asyncio.to_thread(_evidence, question, found)
        if found is None:
            return [], tokens
        if found.vector is not None and evidence:
            evidence = await self._compared(evidence, found.model, found.vector)
        return select_quotes(evidence, found.terms), tokens

    async def _compared(self, evidence: list[Evidence], model: EmbeddingModel, question: Vectors) -> list[Evidence]:
        """With similarities, where the model's say something to the answerer."""
        embedder = await self._embedders.find(model)
        if embedder is None or not embedder.calibrated:
            return evidence
        vectors = await embedder.embed_passages([sentence.text for sentence in evidence])
        return [
            replace(sentence, similarity=None if vector is None else float(vector @ question))
            for sentence, vector in zip(evidence, vectors, strict=True)
        ]


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


def _evidence(question: str, found: Retrieved | None) -> tuple[int, list[Evidence]]:
    tokens = count_tokens(question)
    if found is None:
        return tokens, []
    return tokens + sum(count_tokens(passage.text) for passage in found.passages), shortlist(
        found.passages, found.terms
    )


def _answer(quotes: Sequence[Quote], tokens_in: int) -> Answer:
    text = "\n\n".join(quote.text for quote in quotes) or REFUSAL
    return Answer(
        text=text,
        answerable=bool(quotes),
        citations=tuple(
            Citation(
                document_id=quote.document_id,
                quote=quote.text,
                char_start=quote.char_start,
                char_end=quote.char_end,
                page=page_at(quote.page_starts, quote.char_start),
                score=quote.score,
            )
            for quote in quotes
        ),
        tokens_in=tokens_in,
        tokens_out=count_tokens(text),
    )
