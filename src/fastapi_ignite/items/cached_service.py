"""The item catalogue behind the cache. Reads are cached, and every write drops the entries that it made stale."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.infra.cache import cached, get_cache, invalidate_cache
from fastapi_ignite.infra.db import Database
from fastapi_ignite.items.errors import ItemNotFoundError
from fastapi_ignite.items.schemas import CacheCleared, ItemCreate, ItemRead, ItemUpdate
from fastapi_ignite.items.service import ItemService, read_item

KEY_PREFIX = "item:"  # every key of the catalogue begins with this
ONE_ITEM = "item:{item_id}"
ALL_LISTS = "items"


class CachedItemService:
    """Each call is a transaction of its own, so that a write is committed before the cache is told."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached(key="item:{item_id}", tags=[ONE_ITEM], shared=True, absence=ItemNotFoundError)
    async def get_item(self, item_id: UUID) -> ItemRead:
        """Return the cached copy, which is at most `CACHE_TTL_SECONDS` old, or else the stored item."""
        return await read_item(self._database, item_id)

    @invalidate_cache(tags=[ALL_LISTS], shared=True)
    async def create_item(self, item: ItemCreate) -> ItemRead:
        async with self._database.tenant(None) as session:
            return await ItemService(session).create_item(item)

    @invalidate_cache(tags=[ONE_ITEM, ALL_LISTS], shared=True)
    async def update_item(self, item_id: UUID, changes: ItemUpdate) -> ItemRead:
        """Change the fields that are not null."""
        async with self._database.tenant(None) as session:
            return await ItemService(session).update_item(item_id, changes)

    @invalidate_cache(tags=[ONE_ITEM, ALL_LISTS], shared=True)
    async def delete_item(self, item_id: UUID) -> None:
        """Remove an item that exists."""
        async with self._database.tenant(None) as session:
            await ItemService(session).delete_item(item_id)

    @staticmethod
    async def clear() -> CacheCleared:
        """Drop every entry of the catalogue, lists and responses included."""
        deleted = await get_cache().clear(KEY_PREFIX)
        return CacheCleared(message=f"Successfully cleared {deleted} cached items", deleted_count=deleted)
