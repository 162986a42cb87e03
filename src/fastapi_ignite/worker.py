"""The background worker: Dramatiq actors around the features' own functions."""

from __future__ import annotations

import asyncio
from uuid import UUID

import dramatiq
import structlog
from dramatiq import Broker

from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, declare, make_broker
from fastapi_ignite.infra.process import exit_with_parent
from fastapi_ignite.infra.services import Services, open_services
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.jobs import DELETE_FILE, PROCESS_FILE, SHARPEN
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engines import build_engines

log = structlog.get_logger(__name__)


class Worker:
    """The actors of one worker process and what they share."""

    def __init__(self, settings: Settings, services: Services, broker: Broker) -> None:
        self._services = services
        database = Database(
            services.addresses.worker_url, pool_size=settings.dramatiq.threads + 2, application_name="ignite-worker"
        )
        self._engines = build_engines(database, embedder=settings.rag.embedder)
        self._jobs = JobQueue(broker)
        self._processor = FileProcessor(
            database=database,
            storage=LocalStorage(settings.ignite.data_dir / "storage"),
            engines=self._engines,
            jobs=self._jobs,
        )
        self._sharpening = asyncio.Lock()
        declare(broker, PROCESS_FILE, self.process_file)
        declare(broker, DELETE_FILE, self.delete_file)
        declare(broker, SHARPEN, self.sharpen)

    async def process_file(self, tenant_id: str, file_id: str) -> None:
        """Ingest a file."""
        await self._processor.process(UUID(tenant_id), UUID(file_id))

    async def delete_file(self, tenant_id: str, file_id: str) -> None:
        """Remove what a deleted file left behind."""
        await self._processor.delete(UUID(tenant_id), UUID(file_id))

    async def sharpen(self) -> None:
        """Embed whatever waits. One loop a process is enough: more would only fight for the same cores."""
        if self._sharpening.locked():
            return
        async with self._sharpening:
            for engine in self._engines.values():
                while await engine.sharpen():
                    pass


def build_broker() -> Broker:
    """What a worker process calls when it boots; its services stay open until it dies."""
    settings = get_settings()
    configure_logging(settings)
    exit_with_parent()
    services = open_services(settings)
    broker = make_broker(services.addresses.redis_url)
    dramatiq.set_broker(broker)
    Worker(settings, services, broker)
    return broker
