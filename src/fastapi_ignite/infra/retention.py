"""Removes what is older than a setting allows, in batches."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database


class RemoveBatch(Protocol):
    """Removes at most `limit` rows that are older than `before`, and returns how many there were."""

    async def __call__(self, session: AsyncSession, *, before: datetime, limit: int) -> int: ...


async def remove_older(database: Database, remove: RemoveBatch, *, days: int, batch: int) -> None:
    """Call `remove` in system transactions until it removes less than a full batch. With 0 days nothing is removed."""
    if not days:
        return
    before = clock.now() - timedelta(days=days)
    removed = batch
    while removed >= batch:
        async with database.system() as session:
            removed = await remove(session, before=before, limit=batch)
