"""Computes the embeddings in the background, batch by batch, for all tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.embedding import Embedder, EmbeddingError, EmbeddingModel, halfvec_text
from fastapi_ignite.rag.local.repository import (
    LocalIndexRepository,
    Unembedded,
    UnembeddedDocuments,
    claim_unembedded_documents,
)

# Chunks looked at for texts that are embedded already.
TWIN_BATCH = 256
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 900.0
log = structlog.get_logger(__name__)


class Backfill:
    """Embeds documents that wait for it. No transaction is open while a model works."""

    def __init__(self, database: Database, embedders: Embedders) -> None:
        self._database = database
        self._embedders = embedders

    async def step(self) -> bool:
        """Embed one batch with each model. Return False when nothing is left that can be done now."""
        async with asyncio.TaskGroup() as lanes:
            steps = [lanes.create_task(self._step(model)) for model in self._embedders.parallel_models()]
        return any(step.result() for step in steps)

    async def _step(self, model: EmbeddingModel) -> bool:
        """Embed a batch of one document or of several small ones. If the model fails, they wait longer each time."""
        async with self._database.system() as session:
            claimed = await claim_unembedded_documents(session, model)
        if claimed is None:
            return False
        embedder = await self._embedders.find(claimed.model)
        if embedder is None:  # its server has just answered vectors of another length
            await self._write(claimed, claimed.model, [], pause=_pause(claimed))
            return True
        waiting = await self._waiting(claimed, embedder)
        done = [(chunk.chunk_id, chunk.embedding) for chunk in waiting if chunk.embedding is not None]
        pause = None
        try:
            done += await _embed(embedder, [chunk for chunk in waiting if chunk.embedding is None])
        except EmbeddingError as error:
            pause = max(_pause(claimed), error.retry_after)
            log.warning("passages not embedded", documents=len(claimed.document_ids), reason=str(error))
        if not done:  # a hot loop otherwise
            pause = pause or _pause(claimed)
        await self._write(claimed, embedder.model, done, pause=pause)
        return True

    async def _waiting(self, claimed: UnembeddedDocuments, embedder: Embedder) -> list[Unembedded]:
        model = EmbeddingModel(claimed.model.name, claimed.model.dimensions or embedder.model.dimensions)
        async with self._database.tenant(claimed.tenant_id) as session:
            return await LocalIndexRepository(session, claimed.tenant_id).next_unembedded(
                claimed.document_ids, model, TWIN_BATCH
            )

    async def _write(
        self, claimed: UnembeddedDocuments, model: EmbeddingModel, done: list[tuple[UUID, str]], *, pause: float | None
    ) -> None:
        async with self._database.tenant(claimed.tenant_id) as session:
            index = LocalIndexRepository(session, claimed.tenant_id)
            # of those that were hidden while the model worked, the vectors are of no use
            visible = await DocumentRepository(session, claimed.tenant_id).lock_each(claimed.document_ids)
            if not visible:
                return
            if done and not await _belongs(index, claimed, model):
                done, pause = [], pause or _pause(claimed)
            await index.set_embeddings(visible, done)
            if pause is not None:
                await index.postpone_embedding(visible, timedelta(seconds=pause))


async def _belongs(index: LocalIndexRepository, claimed: UnembeddedDocuments, model: EmbeddingModel) -> bool:
    """Return whether the project may take vectors of this model."""
    if claimed.model.dimensions is None:
        return await index.settle_dimensions(claimed.document_ids[0], model)
    return claimed.model == model


def _pause(claimed: UnembeddedDocuments) -> float:
    return min(FIRST_PAUSE * 2.0 ** min(claimed.failures, 10), LONGEST_PAUSE)


async def _embed(embedder: Embedder, waiting: Sequence[Unembedded]) -> list[tuple[UUID, str]]:
    """Embed the first few chunks. A text that stands in several chunks is embedded once."""
    fresh = waiting[: embedder.batch]
    texts = list(dict.fromkeys(chunk.text for chunk in fresh))
    if not texts:
        return []
    vectors = await embedder.embed_passages(texts)
    known = {text: vector for text, vector in zip(texts, vectors, strict=True) if vector is not None}
    return await asyncio.to_thread(
        lambda: [(chunk.chunk_id, halfvec_text(known[chunk.text])) for chunk in fresh if chunk.text in known]
    )
