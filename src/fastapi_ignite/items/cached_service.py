"""The direct use of a cache: look there first, fall back to the database, keep a JSON copy."""

from __future__ import annotations

from uuid import UUID

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fastapi_ignite.infra.db import Database
from fastapi_ignite.items.schemas import ItemRead
from fastapi_ignite.items.service import ItemService

KEY_PREFIX = "item:"
DELETE_BATCH = 500
UNAVAILABLE = Counter("ignite_item_cache_unavailable_total", "Item reads that had to do without the cache")
log = structlog.get_logger(__name__)


class CachedItemService:
    """A cache that is away costs time, never an answer."""

    def __init__(self, database: Database, redis: Redis, *, ttl_seconds: int) -> None:
        self._database = database
        self._redis = redis
        self._ttl_seconds = ttl_seconds

    async def get_item(self, item_id: UUID) -> ItemRead:
        """The cached copy, at most `ttl_seconds` old, or the stored item."""
        key = f"{KEY_PREFIX}{item_id}"
        try:
            copy = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
            copy = None
        if copy is not None:
            return ItemRead.model_validate_json(copy)
        async with self._database.tenant(None) as session:
            item = ItemRead.model_validate(await ItemService(session).get_item(item_id))
        try:
            await self._redis.set(key, item.model_dump_json(), ex=self._ttl_seconds)
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
        return item

    async def forget(self, item_id: UUID) -> None:
        """Drop the copy of an item that was changed. Call it after the commit."""
        try:
            await self._redis.delete(f"{KEY_PREFIX}{item_id}")
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)

    async def clear(self) -> int:
        """Drop every copy; returns how many there were."""
        deleted = 0
        batch: list[bytes] = []
        try:
            async for key in self._redis.scan_iter(match=f"{KEY_PREFIX}*", count=DELETE_BATCH):
                batch.append(key)
                if len(batch) >= DELETE_BATCH:
                    deleted += await self._redis.unlink(*batch)
                    batch.clear()
            if batch:
                deleted += await self._redis.unlink(*batch)
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
        return deleted

    @staticmethod
    def _away(error: Exception) -> None:
        UNAVAILABLE.inc()
        log.warning("item cache unavailable", error=type(error).__name__)
