"""Liveness, readiness and metadata; exempt from limits."""

from __future__ import annotations

import asyncio
from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.http.deps import DatabaseDep, RedisDep, SettingsDep
from fastapi_ignite.infra import heartbeat
from fastapi_ignite.infra.db import Database

API_VERSION = "1"
CHECK_SECONDS = 2
log = structlog.get_logger(__name__)
router = APIRouter(tags=["health"])


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
    """`unavailable` comes with 503: send no traffic here. `degraded` serves every request, some of it slower."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "ready", "database": "ok", "migrations": "ok", "redis": "ok", "worker": "ok"},
            ]
        }
    )

    status: Literal["ready", "degraded", "unavailable"]
    database: Literal["ok", "down"]
    migrations: Literal["ok", "behind", "unknown"] = Field(description="Whether the schema is the one this code needs.")
    redis: Literal["ok", "down"]
    worker: Literal["ok", "missing", "unknown"] = Field(description="Whether any worker has beaten within 35 seconds.")


class AppInfo(BaseModel):
    """What runs here."""

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
    """Whether the API is reachable. A static answer: it asks neither database nor Redis."""
    return Health()


@router.get("/health/live")
async def live() -> Alive:
    """Whether the process answers. Restart it when it does not."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Readiness, "description": "Send no traffic here."}})
async def ready(request: Request, response: Response, database: DatabaseDep, redis: RedisDep) -> Readiness:
    """Whether to send traffic here: only the database and its migrations decide."""
    (database_state, migrations), worker = await asyncio.gather(
        _database(database, request.state.schema_head), _worker(redis)
    )
    usable = database_state == "ok" and migrations == "ok"
    if not usable:
        response.status_code = 503
    return Readiness(
        status="unavailable" if not usable else "ready" if worker == "ok" else "degraded",
        database=database_state,
        migrations=migrations,
        redis="down" if worker == "unknown" else "ok",
        worker=worker,
    )


async def _database(
    database: Database, head: str | None
) -> tuple[Literal["ok", "down"], Literal["ok", "behind", "unknown"]]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            revision = await database.schema_revision()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("not ready", error=type(error).__name__)
        return "down", "unknown"
    return "ok", "ok" if revision == head else "behind"


async def _worker(redis: RedisDep) -> Literal["ok", "missing", "unknown"]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return "ok" if await heartbeat.is_alive(redis, "worker") else "missing"
    except (RedisError, OSError, TimeoutError):
        return "unknown"


@router.get("/app-info")
async def app_info(settings: SettingsDep) -> AppInfo:
    """Name, description and version as configured."""
    return AppInfo(
        name=settings.app.project_name, description=settings.app.project_description, version=settings.app.version
    )
