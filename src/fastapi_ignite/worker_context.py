"""Defines the objects that the jobs of a worker may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.rag.engine import RagEngine


@dataclass(frozen=True, slots=True, eq=False)
class WorkerContext(TaskContext):
    """The jobs of one worker process share these objects."""

    engines: Mapping[str, RagEngine]
    redis_url: str
