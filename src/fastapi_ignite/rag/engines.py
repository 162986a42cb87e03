"""Which engines this installation can run."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.core.sections import EmbeddingSettings, OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.openai.engine import OpenAIEngine


class EngineMissingError(UnavailableError):
    """The project's engine is not set up here any more."""

    code = "engine_missing"
    title = "The project's engine is not set up"


def engine_named(engines: Mapping[str, RagEngine], name: str) -> RagEngine:
    """A project's engine.

    Raises:
        EngineMissingError: this installation cannot run it, for want of its key.
    """
    if name not in engines:
        raise EngineMissingError(f"The engine '{name}' of this project is not set up on this service.")
    return engines[name]


def build_engines(
    database: Database,
    *,
    embedder: str,
    embedding: EmbeddingSettings | None = None,
    openai: OpenAISettings | None = None,
) -> Mapping[str, RagEngine]:
    """By name. `embedder` is for new projects of the local engine; the hosted one is there when it has a key."""
    engines: list[RagEngine] = [LocalEngine(database, embedder, embedding)]
    if openai and openai.api_key:
        engines.append(OpenAIEngine(database, openai))
    return {engine.name: engine for engine in engines}
