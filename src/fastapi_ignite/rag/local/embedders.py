"""Finds the embedder of a project. Where its model is not set up any more, the project is searched by words alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.rag.local.embedding import MINILM, Embedder, EmbeddingError, EmbeddingModel, Vectors
from fastapi_ignite.rag.local.http_embedding import HttpEmbedder

NO_EMBEDDER: Final = EmbeddingModel("none", None)
log = structlog.get_logger(__name__)


class Embedders:
    """The embedders of a process: `default` (`minilm`, `http` or `none`) is for new projects, `server` for all."""

    def __init__(self, default: str, server: EmbeddingSettings | None = None) -> None:
        self._server = HttpEmbedder(server) if server and server.base_url else None
        if default not in {"minilm", "http", "none"} or (default == "http" and self._server is None):
            raise ConfigurationError(f"unknown embedder, or one that is not set up: {default}")
        self._default = default
        self._missed: set[EmbeddingModel] = set()

    @property
    def default(self) -> EmbeddingModel:
        """Return the model of new projects."""
        if self._default == "http" and self._server:
            return self._server.model
        return MINILM if self._default == "minilm" else NO_EMBEDDER

    async def find(self, model: EmbeddingModel) -> Embedder | None:
        """Return the model's embedder, or None by choice or because it is not set up here, which is logged once."""
        if model == MINILM:
            return await asyncio.to_thread(_load_minilm)
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

    async def embed_question(self, model: EmbeddingModel, text: str) -> Vectors | None:
        """Return the question's vector, or None where no chunk has one to compare it with, or none could be had."""
        embedder = await self.find(model)
        if embedder is None or model.dimensions is None:
            return None
        try:
            vector = await embedder.embed_query(text)
        except EmbeddingError as error:
            log.debug("question not embedded", reason=str(error))
            return None
        # the server may only now have told what it answers
        return vector if len(vector) == model.dimensions else None

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
