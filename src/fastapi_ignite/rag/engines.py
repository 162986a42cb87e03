"""Which engines this installation can run."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.local.engine import LocalEngine


def build_engines(database: Database, *, embedder: str) -> Mapping[str, RagEngine]:
    """By name. `embedder` is for new projects of the local engine."""
    local = LocalEngine(database, embedder=embedder)
    return {local.name: local}
