"""Finds everything that is left of a tenant: rows of any table, stored objects, and keys in Redis."""

from __future__ import annotations

from uuid import UUID

from redis import Redis
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.models import metadata
from support.feature_contracts import contracts
from support.tenant_records import stored_objects

# tables without a tenant that the infrastructure has; those of features are in the contracts
SHARED_TABLES = {
    "periodic_runs",
    *(name for contract in contracts().values() for name in contract.shared_tables),
}


async def rows_left(database: Database, tenant_id: UUID) -> dict[str, int]:
    """Count the rows of the tenant in each table that has some.

    Raises:
        AssertionError: a table belongs neither to tenants nor to nobody, so nobody decided what becomes of its rows.
    """
    found = {}
    async with database.system() as session:
        for name, table in metadata.tables.items():
            key = "id" if name == "tenants" else "tenant_id"
            if key not in table.columns or (key == "id" and name != "tenants"):
                assert name in SHARED_TABLES, f"{name}: whose rows are these, and does an erasure remove them?"
                continue
            count = await session.scalar(text(f"SELECT count(*) FROM {name} WHERE {key} = :id"), {"id": tenant_id})  # noqa: S608
            if count:
                found[name] = int(count)
    return found


def objects_left(settings: Settings, tenant_id: UUID) -> int:
    return len(stored_objects(settings, tenant_id))


def keys_left(redis: Redis, tenant_id: UUID) -> list[str]:
    """Return the names of keys that contain the tenant's id."""
    return sorted(name.decode() for name in redis.scan_iter(match=f"*{tenant_id}*", count=1000))
