"""Finds the embedder of a project. Where its model is not set up any more, the project is searched by words alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.rag.local.embedding import MINILM, Embedder, EmbeddingError, EmbeddingModel, Vectors
from fastapi_ignite.rag.local.http_embedding import HttpEmbedder

NO_EMBEDDER: Final = EmbeddingModel("none", None)
# Vectors of questions that a process keeps, 2 KB each with MiniLM, and how long. A longer question is seldom repeated.
KEPT_QUESTIONS: Final = 2_000
KEPT_SECONDS: Final = 600
LONGEST_KEPT: Final = 1_000
log = structlog.get_logger(__name__)


class _Asked(NamedTuple):
    """A question of a tenant. Tenants do not share vectors: a fast answer would tell what another one has asked."""

    tenant_id: UUID
    model: EmbeddingModel
    text: str


class Embedders:
    """The embedders of a process: `default` (`minilm`, `http` or `none`) is for new projects, `server` for all."""

    def __init__(self, default: str, server: EmbeddingSettings | None = None) -> None:
        self._server = HttpEmbedder(server) if server and server.base_url else None
        if default not in {"minilm", "http", "none"} or (default == "http" and self._server is None):
            raise ConfigurationError(f"unknown embedder, or one that is not set up: {default}")
        self._default = default
        self._minilm: Embedder | None = None
        self._missed: set[EmbeddingModel] = set()
        self._question_vectors = Remembered(self._embed, seconds=KEPT_SECONDS, most=KEPT_QUESTIONS)

    @property
    def default(self) -> EmbeddingModel:
        """Return the model of new projects."""
        if self._default == "http" and self._server:
            return self._server.model
        return MINILM if self._default == "minilm" else NO_EMBEDDER

    async def find(self, model: EmbeddingModel) -> Embedder | None:
        """Return the model's embedder, or None by choice or because it is not set up here, which is logged once."""
        if model == MINILM:
            if self._minilm is None:
                self._minilm = await asyncio.to_thread(_load_minilm)
            return self._minilm
        if self._server and _fits(self._server.model, model):
            return self._server
        if self.is_missing(model) and model not in self._missed:
            self._missed.add(model)
            log.warning("embedder not set up: searching by words", embedder=model.name, dimensions=model.dimensions)
        return None

    def is_missing(self, model: EmbeddingModel) -> bool:
        """Return whether projects of this model lack their embedder, and are searched by words alone."""
        served = self._server is not None and _fits(self._server.model, model)
        return model.name != NO_EMBEDDER.name and model != MINILM and not served

    def parallel_models(self) -> Sequence[EmbeddingModel]:
        """Return the model of each batch that may be embedded at the same time: a server is only waited for."""
        server = self._server
        return [MINILM] + ([server.model] * server.lanes if server and server.available else [])

    async def embed_question(self, tenant_id: UUID, model: EmbeddingModel, text: str) -> Vectors | None:
        """Return the question's vector, or None where no chunk has one to compare it with, or none could be had.

        A question that the tenant asks again is not embedded again. When a caller leaves, its embedding goes on.
        """
        if model.dimensions is None:
            return None
        asked = _Asked(tenant_id, model, text)
        try:
            vector = await (self._question_vectors.get(asked) if len(text) <= LONGEST_KEPT else self._embed(asked))
        except EmbeddingError as error:
            log.debug("question not embedded", reason=str(error))
            return None
        # the server may only now have told what it answers
        return vector if len(vector) == model.dimensions else None

    async def _embed(self, asked: _Asked) -> Vectors:
        embedder = await self.find(asked.model)
        if embedder is None:
            raise EmbeddingError("the embedder of the project is not set up")
        vector = await embedder.embed_query(asked.text)
        vector.setflags(write=False)  # many callers get the same one
        return vector

    async def verify(self) -> None:
        """Ask the server once, when the process starts.

        Raises:
            ConfigurationError: its answer is not what the settings say.
        """
        if self._server:
            await self._server.verify()

    async def close(self) -> None:
        """Close the connections."""
        if self._server:
            await self._server.close()


def _load_minilm() -> Embedder:
    from fastapi_ignite.rag.local.minilm import load_minilm  # noqa: PLC0415  # 30 MB of libraries for who embeds

    return load_minilm()


def _fits(ours: EmbeddingModel, kept: EmbeddingModel) -> bool:
    """Return whether two models may be the same; dimensions that are not known yet do not differ."""
    known = {ours.dimensions, kept.dimensions} - {None}
    return ours.name == kept.name and len(known) <= 1
