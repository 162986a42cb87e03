"""Liveness, readiness and metadata. No rate limit applies to them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import structlog
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.http.deps import DatabaseDep, RedisDep, SettingsDep, StorageDep
from fastapi_ignite.http.routing import FeatureRouter
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.schema_history import SchemaHistory
from fastapi_ignite.infra.periodic_runs import scheduler_state
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.infra.storage.free_space import free_space
from fastapi_ignite.infra.worker_presence import is_worker_present

API_VERSION = "1"
CHECK_SECONDS = 2
# an executor of its own, because a network file system that hangs must not block the threads of others
DISK = ThreadPoolExecutor(1, "disk")
log = structlog.get_logger(__name__)
router = FeatureRouter(
    "", "health", "Liveness, readiness and metadata of the API. No token is needed, and no rate limit applies."
)


class Health(BaseModel):
    """The API is reachable."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "version": "1"}]})

    status: Literal["ok"] = "ok"
    version: str = API_VERSION


class Alive(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "alive"}]})

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """`unavailable` has status 503: send no traffic here. With `degraded` questions and most other requests work."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "database": "ok",
                    "migrations": "ok",
                    "redis": "ok",
                    "worker": "ok",
                    "scheduler": "ok",
                    "disk": "ok",
                    "storage": "ok",
                },
            ]
        }
    )

    status: Literal["ready", "degraded", "unavailable"]
    database: Literal["ok", "down"]
    migrations: Literal["ok", "behind", "ahead", "unknown"] = Field(
        description="`behind`: the schema is too old for this code. `ahead`: newer code has migrated it, and this "
        "code still works."
    )
    redis: Literal["ok", "down"]
    worker: Literal["ok", "missing", "unknown"] = Field(
        description="Whether any worker reported within the last 35 seconds that it can take jobs."
    )
    scheduler: Literal["ok", "missing", "hung", "unknown"] = Field(
        description="`hung`: a scheduler was started and not stopped normally, and a periodic job is overdue."
    )
    disk: Literal["ok", "low", "full", "unknown"] = Field(
        description="Free space for uploads. `low`: less than `IGNITE_LOW_DISK_BYTES`. `full`: a file of the largest "
        "allowed size does not fit."
    )
    storage: Literal["ok", "down"] = Field(
        description="Whether the bucket or the folder of uploads answered within the last seconds."
    )


class AppInfo(BaseModel):
    """Name, description and version of this installation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "FastAPI-Ignite", "description": "A FastAPI application", "version": "0.1.0"}]
        }
    )

    name: str
    description: str
    version: str


@router.get("/health")
async def health() -> Health:
    """Check whether the API is reachable. The answer is static: it does not query the database or Redis."""
    return Health()


@router.get("/health/live")
async def live() -> Alive:
    """Check whether the process answers. Restart it if it does not."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Readiness, "description": "Send no traffic here."}})
async def ready(
    request: Request,
    response: Response,
    settings: SettingsDep,
    database: DatabaseDep,
    redis: RedisDep,
    storage: StorageDep,
) -> Readiness:
    """Check whether this process can serve traffic. Only the database and its migrations decide."""
    (stored, migrations, scheduler), worker, disk = await asyncio.gather(
        _database(database, request.state.schema), _worker(redis), _disk(settings)
    )
    bucket = await BUCKETS.get(storage) if settings.storage.backend == "s3" else disk != "unknown"
    usable = stored == "ok" and migrations in {"ok", "ahead"}
    whole = worker == "ok" and scheduler == "ok" and disk in {"ok", "low"} and bucket
    if not usable:
        response.status_code = 503
    return Readiness(
        status="unavailable" if not usable else "ready" if whole else "degraded",
        database=stored,
        migrations=migrations,
        redis="down" if worker == "unknown" else "ok",
        worker=worker,
        scheduler=scheduler,
        disk=disk,
        storage="ok" if bucket else "down",
    )


async def _database(
    database: Database, schema: SchemaHistory
) -> tuple[
    Literal["ok", "down"],
    Literal["ok", "behind", "ahead", "unknown"],
    Literal["ok", "missing", "hung", "unknown"],
]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            migrations = schema.state_of(await database.schema_revision())
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("not ready", error=type(error).__name__)
        return "down", "unknown", "unknown"
    return "ok", migrations, "unknown" if migrations == "behind" else await _scheduler(database)


async def _scheduler(database: Database) -> Literal["ok", "missing", "hung", "unknown"]:
    try:
        async with asyncio.timeout(CHECK_SECONDS), database.tenant(None) as session:
            return await scheduler_state(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        return "unknown"


async def _worker(redis: RedisDep) -> Literal["ok", "missing", "unknown"]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return "ok" if await is_worker_present(redis) else "missing"
    except (RedisError, OSError, TimeoutError):
        return "unknown"


async def _disk(settings: Settings) -> Literal["ok", "low", "full", "unknown"]:
    """Check the folder of uploads, or of the copies that are made of objects in a bucket."""
    check = asyncio.get_running_loop().run_in_executor(DISK, free_space, settings.ignite.data_dir / "storage")
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return (await check).state(settings)
    except (OSError, TimeoutError):
        return "unknown"


async def _answers(storage: Storage) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await storage.check()
    except OSError as error:  # TimeoutError is one
        log.warning("the storage does not answer", reason=error.strerror or type(error).__name__)
        return False
    return True


# anybody may ask for the readiness at any rate, and an object store bills each request
BUCKETS = Remembered(_answers, seconds=5, most=8)


@router.get("/app-info")
async def app_info(settings: SettingsDep) -> AppInfo:
    """Return name, description and version from the settings."""
    return AppInfo(
        name=settings.app.project_name, description=settings.app.project_description, version=settings.app.version
    )
