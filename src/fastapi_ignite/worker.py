"""The worker process. It declares a Dramatiq actor for every feature's jobs."""

from __future__ import annotations

import asyncio
import os

import dramatiq
from dramatiq import Broker
from redis.asyncio import Redis

from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.heap import limit_heap
from fastapi_ignite.infra.jobs import JobBroker, JobQueue, make_broker
from fastapi_ignite.infra.jobs.actors import declare
from fastapi_ignite.infra.jobs.heartbeat import WorkerHeartbeat
from fastapi_ignite.infra.process import exit_with_parent, lower_session_priority, protect_process_memory
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses, open_services
from fastapi_ignite.infra.storage.backends import open_storage, verify_storage
from fastapi_ignite.rag.engines import build_engines
from fastapi_ignite.tasks import JOBS
from fastapi_ignite.worker_context import WorkerContext

# Where both want the same processor, requests go before background work.
NICENESS = 5
# The limiter itself waits less.
REDIS_TIMEOUT_SECONDS = 5


def declare_jobs(settings: Settings, addresses: ServiceAddresses, broker: JobBroker) -> None:
    """Declare the actors on the broker, with what they share for as long as the process lives."""
    database = Database(addresses.worker_url, pool_size=settings.dramatiq.threads + 2, application_name="ignite-worker")
    redis = Redis.from_url(
        addresses.redis_url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        client_name="ignite-worker",
    )
    context = WorkerContext(
        settings=settings,
        database=database,
        storage=open_storage(settings),
        jobs=JobQueue(broker),
        engines=build_engines(database, settings, limiter=RateLimiter(redis), owner_url=addresses.owner_url),
        redis_url=addresses.redis_url,
    )
    for job in JOBS:
        declare(broker, job, context)


def build_broker() -> Broker:
    """Return the broker of a worker process that boots; its services stay open until it dies."""
    limit_heap()
    settings = get_settings()
    lower_session_priority(NICENESS)
    protect_process_memory(debug=settings.app.debug)
    configure_logging(settings)
    exit_with_parent()
    asyncio.run(verify_storage(settings, open_storage(settings)))
    services = open_services(settings)
    os.nice(NICENESS)  # after the servers, which would inherit it
    broker = make_broker(services.addresses.broker_url)
    dramatiq.set_broker(broker)
    broker.add_middleware(WorkerHeartbeat(broker, services.addresses.redis_url))
    declare_jobs(settings, services.addresses, broker)
    return broker
