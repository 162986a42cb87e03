"""The application. `create_app` builds it, and its lifespan opens all connections. Importing has no side effects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import text
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fastapi_ignite.admin.authenticator import AdminAuthenticator
from fastapi_ignite.api import docs_pages
from fastapi_ignite.api.description import describe
from fastapi_ignite.api.v1.router import build_router, explain_tags
from fastapi_ignite.api_keys.authenticator import ApiKeyAuthenticator
from fastapi_ignite.billing.tenant_access import CHANNEL, TenantAccessReader
from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.core.security import TokenVerifier
from fastapi_ignite.http import openapi, problems, rate_limit
from fastapi_ignite.http.middleware import RequestContext, RequestGuard
from fastapi_ignite.http.route_table import RouteTable
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.cache import open_cache
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.db.notifications import NotificationListener
from fastapi_ignite.infra.garbage_collection import freeze_started_process
from fastapi_ignite.infra.heap import limit_heap
from fastapi_ignite.infra.heartbeat import beating
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.jwks import KeySet
from fastapi_ignite.infra.process import SUPERVISOR_PID_VARIABLE, exit_with_parent, protect_process_memory
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses, open_services
from fastapi_ignite.infra.storage.backends import open_storage, verify_storage
from fastapi_ignite.rag.engine import EmbeddingBackfill
from fastapi_ignite.rag.engines import build_engines

REDIS_TIMEOUT_SECONDS = 1.0
EXPOSED_HEADERS = (
    "X-Request-ID",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Mode",
    "X-Quota-Metric",
    "X-Quota-Limit",
    "X-Quota-Remaining",
    "X-Quota-Reset",
    "ETag",
    "Age",
    "X-Cache",
    "Idempotent-Replayed",
    "Preference-Applied",
    "Accept-Ranges",
    "Content-Range",
    "Content-Disposition",
)
# What operations read, besides the headers that a browser sends without asking.
ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "X-Request-ID",
    "X-Tenant-Id",
)
# FastAPI asks OpenTelemetry's API at each request for a provider, which takes 9 us. Only the SDK makes providers.
NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False)
STRONGER_LOGIN = text("""
SELECT r.rolsuper OR r.rolbypassrls OR pg_has_role(current_user, 'ignite_system', 'MEMBER')
    OR EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user)
FROM pg_roles r WHERE r.rolname = current_user
""")
log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_state(settings: Settings, addresses: ServiceAddresses) -> AsyncGenerator[AppState]:
    """Open everything that requests share, and close it at the end."""
    database = Database(addresses.api_url, pool_size=settings.postgres.pool_size, application_name="ignite-api")
    admin_database = Database(addresses.admin_url, pool_size=1, application_name="ignite-api-admin")
    changes = NotificationListener(addresses.api_url, CHANNEL, application_name="ignite-api-listener")
    keys = KeySet(settings.jwt.jwks_url) if settings.jwt.jwks_url else None
    redis = Redis.from_url(
        addresses.redis_url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),  # one immediate retry, for a connection in the pool that the server has closed
        client_name="ignite-api",
    )
    jobs = JobQueue(make_broker(addresses.broker_url))
    engines = build_engines(database, settings)
    storage = open_storage(settings)
    try:
        await verify_storage(settings, storage)
        if settings.app.production:
            await _refuse_stronger_login(database)
        for engine in engines.values():
            if isinstance(engine, EmbeddingBackfill):
                await engine.verify()
        async with open_cache(settings.cache, redis_url=addresses.redis_url), changes.running():
            yield AppState(
                settings=settings,
                database=database,
                admin_database=admin_database,
                redis=redis,
                limiter=RateLimiter(redis),
                tokens=TokenVerifier(settings, keys=keys),
                tenants=TenantAccessReader(database, settings.rate_limit.rpm, changes),
                api_keys=ApiKeyAuthenticator(database, settings),
                admins=AdminAuthenticator(admin_database, settings),
                storage=storage,
                jobs=jobs,
                engines=engines,
                schema=await asyncio.to_thread(migrations.history),
            )
    finally:
        jobs.close()
        for engine in engines.values():
            await engine.close()
        await redis.aclose()
        if keys:
            await keys.close()
        await admin_database.close()
        await database.close()


async def _refuse_stronger_login(database: Database) -> None:
    async with database.engine.connect() as connection:
        if await connection.scalar(STRONGER_LOGIN):
            raise ConfigurationError(
                "The API's database login is an owner, a superuser or a member of ignite_system, so row-level security "
                f"would not restrict it. Grant {database.engine.url.username} no role except ignite_tenant."
            )


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build an application with the given settings, or with those of the environment."""
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        protect_process_memory(debug=settings.app.debug)
        limit_heap()  # also when another server than our command line runs the application
        configure_logging(settings)
        if SUPERVISOR_PID_VARIABLE in os.environ:
            exit_with_parent()
        services = await asyncio.to_thread(open_services, settings)
        try:
            async with open_state(settings, services.addresses) as state, beating():
                freeze_started_process()
                yield state
        finally:
            await asyncio.to_thread(services.close)

    prefix = settings.app.api_prefix
    app = FastAPI(
        **describe(settings, explain_tags()),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=None if find_spec("opentelemetry.sdk") else NO_TELEMETRY,
        generate_unique_id_function=openapi.operation_id,
    )
    problems.install(app, errors_url=settings.app.errors_url)
    app.include_router(build_router(settings), prefix=prefix)
    docs_pages.install(app, prefix, settings.app.project_name)
    openapi.install(app)
    rate_limit.require_known_operations(app, settings)
    app.add_middleware(RouteTable, application=app)
    app.add_middleware(RequestGuard)
    if settings.cors.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors.origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(RequestContext, strict_transport=settings.app.production)
    if settings.app.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.app.trusted_proxies))
    return app
