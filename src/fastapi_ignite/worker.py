"""The background worker: Dramatiq actors around the features' own functions."""

from __future__ import annotations

import asyncio
from uuid import UUID

import dramatiq
import structlog
from dramatiq import Broker
from redis.asyncio import Redis

from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.exports.processing import ExportProcessor
from fastapi_ignite.exports.tasks import EXPORT_TENANT, REMOVE_EXPORT
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.heap import limit_heap
from fastapi_ignite.infra.jobs import JobBroker, JobQueue, declare, make_broker
from fastapi_ignite.infra.jobs.heartbeat import WorkerHeartbeat
from fastapi_ignite.infra.jobs.serial_runner import Lane
from fastapi_ignite.infra.process import close_to_debuggers, exit_with_parent
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import Services, open_services
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.fair_queue import FairQueue
from fastapi_ignite.ingestion.index_rebuild import IndexRebuilder
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.tasks import BACKFILL_EMBEDDINGS, DELETE_FILE, PROCESS_FILE, REBUILD, RECONCILE
from fastapi_ignite.rag.engines import build_engines
from fastapi_ignite.usage.rollup import UsageRollUp
from fastapi_ignite.usage.tasks import ROLL_UP

# One file of each tenant is parsed at full priority; more of them take what processor time the others leave.
SIBLING_NICENESS = 15
# the limiter itself waits less
REDIS_TIMEOUT_SECONDS = 5
log = structlog.get_logger(__name__)


class Worker:
    """The actors of one worker process and what they share."""

    def __init__(self, settings: Settings, services: Services, broker: JobBroker) -> None:
        self._services = services
        database = Database(
            services.addresses.worker_url, pool_size=settings.dramatiq.threads + 2, application_name="ignite-worker"
        )
        storage = LocalStorage(settings.ignite.data_dir / "storage")
        redis = Redis.from_url(
            services.addresses.redis_url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            client_name="ignite-worker",
        )
        self._engines = build_engines(database, settings, limiter=RateLimiter(redis))
        self._jobs = JobQueue(broker)
        self._files = FairQueue(database, self._jobs, threads=settings.dramatiq.threads)
        self._processor = FileProcessor(database=database, storage=storage, engines=self._engines, jobs=self._jobs)
        self._exports = ExportProcessor(database=database, storage=storage)
        self._export_lane = Lane(self._export)
        self._roll_up = UsageRollUp(database)
        self._sharpening = asyncio.Lock()
        self._rebuilder = IndexRebuilder(database, self._engines)
        self._rebuilding = asyncio.Lock()
        declare(broker, PROCESS_FILE, self.process_file)
        declare(broker, DELETE_FILE, self.delete_file)
        declare(broker, BACKFILL_EMBEDDINGS, self.backfill_embeddings)
        declare(broker, EXPORT_TENANT, self.export_tenant)
        declare(broker, REMOVE_EXPORT, self.remove_export)
        declare(broker, ROLL_UP, self.roll_up_usage)
        declare(broker, REBUILD, self.rebuild)
        declare(broker, RECONCILE, self.reconcile)

    async def process_file(self, _tenant_id: str, _file_id: str) -> None:
        """Ingest the file whose turn it is: the message's own may have to wait for those of other tenants."""
        async with self._files.next_file() as claimed:
            if claimed is not None:
                niceness = SIBLING_NICENESS if claimed.siblings else 0
                await self._processor.work_on(claimed.file, niceness=niceness)

    async def delete_file(self, tenant_id: str, file_id: str) -> None:
        """Remove what a deleted file left behind."""
        await self._processor.delete(UUID(tenant_id), UUID(file_id))

    async def backfill_embeddings(self) -> None:
        """Embed whatever waits. One loop a process is enough: more would only fight for the same cores."""
        if self._sharpening.locked():
            return
        async with self._sharpening:
            for engine in self._engines.values():
                while await engine.backfill_embeddings():
                    pass

    async def export_tenant(self, tenant_id: str, export_id: str) -> None:
        """Write an export. One at a time, so that a few large tenants leave threads for everybody's uploads."""
        await self._export_lane.take(tenant_id, export_id)

    async def _export(self, tenant_id: str, export_id: str) -> None:
        await self._exports.process(UUID(tenant_id), UUID(export_id))

    async def remove_export(self, tenant_id: str, export_id: str) -> None:
        """Remove an expired export."""
        await self._exports.remove(UUID(tenant_id), UUID(export_id))

    async def rebuild(self) -> None:
        """Make indexes again that a provider lost. One run a process, which takes several at once."""
        if self._rebuilding.locked():
            return
        async with self._rebuilding:
            await self._rebuilder.run()

    async def reconcile(self) -> None:
        """Remove orphans at providers."""
        for engine in self._engines.values():
            await engine.reconcile()

    async def roll_up_usage(self) -> None:
        """Sum up the months."""
        await self._roll_up.run()


def build_broker() -> Broker:
    """What a worker process calls when it boots; its services stay open until it dies."""
    limit_heap()
    settings = get_settings()
    close_to_debuggers(debug=settings.app.debug)
    configure_logging(settings)
    exit_with_parent()
    services = open_services(settings)
    broker = make_broker(services.addresses.broker_url)
    dramatiq.set_broker(broker)
    broker.add_middleware(WorkerHeartbeat(broker, services.addresses.redis_url))
    Worker(settings, services, broker)
    return broker
