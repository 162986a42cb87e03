"""Embeds a document before it is written, if it replaces another one that is embedded already."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.errors import ProviderUnavailableError
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.embedding import EmbeddingError, EmbeddingModel, halfvec_text
from fastapi_ignite.rag.local.index_rows import indexed_text
from fastapi_ignite.rag.local.indexing import PreparedDocument
from fastapi_ignite.rag.local.repository import LocalIndexRepository

# A longer document is embedded after it is written, as others are: its vectors would take 60 MB and more of memory.
MOST_CHUNKS = 20_000
KNOWN_BATCH = 256


class WholeDocuments:
    """Adds the embeddings to prepared documents, so that semantic search finds them from their commit on."""

    def __init__(self, database: Database, embedders: Embedders) -> None:
        self._database = database
        self._embedders = embedders

    async def embed(self, prepared: PreparedDocument) -> PreparedDocument:
        """Return the document with its embeddings; without them where the project has none or it is very long.

        Texts that are embedded already, such as those of the version before, are not embedded again.

        Raises:
            ProviderUnavailableError: The embedding server gives no vectors at the moment.
        """
        model = await self._model(prepared)
        embedder = await self._embedders.find(model) if model and model.dimensions else None
        if model is None or embedder is None or prepared.chunk_count > MOST_CHUNKS:
            return prepared
        vectors = await self._known(prepared, model)
        missing = {
            row.text_sha256: indexed_text(row.context, row.text)
            for row in prepared.rows
            if row.text_sha256 not in vectors
        }
        hashes = list(missing)
        for start in range(0, len(hashes), embedder.batch):
            batch = hashes[start : start + embedder.batch]
            try:
                found = await embedder.embed_passages([missing[sha256] for sha256 in batch])
            except EmbeddingError as error:
                raise ProviderUnavailableError(
                    "The embedding server cannot be reached. The old version answers until the new one is embedded.",
                    headers={"Retry-After": str(max(1, round(error.retry_after)))},
                ) from error
            for sha256, vector in zip(batch, found, strict=True):
                if vector is not None:
                    vectors[sha256] = await asyncio.to_thread(halfvec_text, vector)
        embeddings = [(row.id, vectors[row.text_sha256]) for row in prepared.rows if row.text_sha256 in vectors]
        return replace(prepared, embeddings=embeddings)

    async def _model(self, prepared: PreparedDocument) -> EmbeddingModel | None:
        source = prepared.source
        async with self._database.tenant(source.tenant_id) as session:
            index = await LocalIndexRepository(session, source.tenant_id).find_index(source.project_id)
        return EmbeddingModel(index.embedder, index.dimensions) if index else None

    async def _known(self, prepared: PreparedDocument, model: EmbeddingModel) -> dict[bytes, str]:
        known: dict[bytes, str] = {}
        hashes = list({row.text_sha256 for row in prepared.rows})
        for start in range(0, len(hashes), KNOWN_BATCH):
            async with self._database.tenant(prepared.source.tenant_id) as session:
                index = LocalIndexRepository(session, prepared.source.tenant_id)
                known |= await index.known_embeddings(hashes[start : start + KNOWN_BATCH], model)
        return known
