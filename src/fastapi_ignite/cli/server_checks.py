"""Ask PostgreSQL and Redis for their versions, for `doctor`."""

from __future__ import annotations

import re

from redis import Redis
from sqlalchemy import text

from fastapi_ignite.cli.findings import Finding
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses

OLDEST_POSTGRES = 16
OLDEST_REDIS = (6, 2)
OLDEST_PGVECTOR = (0, 7)  # it has halfvec and sparsevec
PGVECTOR_OF_INDEXES = (0, 8)  # it goes on searching where a filter leaves too few rows

VERSIONS = text("""
    SELECT current_setting('server_version') AS postgres, current_setting('server_version_num')::int / 10000 AS major,
        extension.installed_version AS installed, extension.default_version AS available
    FROM (SELECT) AS one LEFT JOIN pg_available_extensions AS extension ON extension.name = 'vector'
""")


async def database_versions(addresses: ServiceAddresses) -> list[Finding]:
    """Return the findings about PostgreSQL and its extension pgvector."""
    database = Database(addresses.worker_url, pool_size=1)
    try:
        async with database.system() as session:
            row = (await session.execute(VERSIONS)).one()
    finally:
        await database.close()
    old = row.major < OLDEST_POSTGRES
    advice = f"; the program needs {OLDEST_POSTGRES} or newer" if old else ""
    return [
        Finding("postgresql", "fail" if old else "ok", f"{row.postgres}{advice}"),
        pgvector_finding(row.installed, row.available),
    ]


def pgvector_finding(installed: str | None, available: str | None) -> Finding:
    """Return the finding about the version in the database and the newest one of the server, each None if missing."""
    if installed is None and available is None:
        return Finding("pgvector", "fail", "the server does not have it; install the package postgresql-NN-pgvector")
    if installed is None:
        return Finding(
            "pgvector", "fail", f"{available} is not installed in this database; run 'python cli.py db migrate'"
        )
    update = f"a superuser can run ALTER EXTENSION vector UPDATE to get {available}"
    newer = available is not None and _numbers(available) > _numbers(installed)
    if _numbers(installed) < OLDEST_PGVECTOR:
        remedy = update if newer else "install a newer package"
        return Finding("pgvector", "fail", f"{installed} is too old, 0.7 or newer is needed; {remedy}")
    if _numbers(installed) < PGVECTOR_OF_INDEXES:
        return Finding("pgvector", "warn", f"{installed}: large projects get no vector index before 0.8; {update}")
    if newer:
        return Finding("pgvector", "warn", f"{installed} is installed; {update}")
    return Finding("pgvector", "ok", f"{installed}, the newest that the server has")


def redis_finding(addresses: ServiceAddresses) -> Finding:
    """Return the finding about Redis or Valkey."""
    with Redis.from_url(addresses.redis_url, socket_timeout=5, socket_connect_timeout=5) as redis:
        info = redis.info("server")
    valkey = info.get("valkey_version")
    version = valkey or str(info.get("redis_version"))
    name = f"{info.get('server_name', 'redis')} {version}"
    if not valkey and _numbers(version) < OLDEST_REDIS:
        return Finding("redis", "fail", f"{name} is too old; the program needs Redis 6.2 or newer, or Valkey")
    return Finding("redis", "ok", name)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
