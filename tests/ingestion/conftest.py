from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engine import RagEngine
from support.both_engines import *  # noqa: F403  fixtures: every suite here runs on both engines
from support.idle_workers import *  # noqa: F403  fixtures
from support.interrupted_engines import Event, InterruptedEngine, nothing

ProcessorFactory = Callable[..., FileProcessor]


@pytest.fixture
def make_processor(
    database: Database,
    state: AppState,
    worker_engines: Mapping[str, RagEngine],
    engine_name: str,
    unreachable_jobs: JobQueue,
) -> ProcessorFactory:
    """Return a function that makes a processor, which calls `prepared` after it has prepared a document."""

    def make(prepared: Event = nothing) -> FileProcessor:
        engine = InterruptedEngine(worker_engines[engine_name], prepared=prepared)
        return FileProcessor(database=database, storage=state["storage"], engines=engine.alone(), jobs=unreachable_jobs)

    return make
