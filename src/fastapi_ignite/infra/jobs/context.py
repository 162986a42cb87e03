"""Defines the objects that jobs and periodic jobs may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.storage import Storage

if TYPE_CHECKING:
    from fastapi_ignite.infra.jobs.queue import JobQueue


@dataclass(frozen=True, slots=True, eq=False)
class TaskContext:
    """The jobs of one process share these objects."""

    settings: Settings
    database: Database
    storage: Storage
    jobs: JobQueue
