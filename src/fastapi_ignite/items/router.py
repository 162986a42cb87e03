"""The public item routes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.http.deps import DatabaseDep, RedisDep, SessionDep, SettingsDep, Text
from fastapi_ignite.http.problems import MalformedBodyError, responses
from fastapi_ignite.http.routing import public_router
from fastapi_ignite.items.cached_service import CachedItemService
from fastapi_ignite.items.schemas import CacheCleared, ItemCreate, ItemRead, ItemUpdate
from fastapi_ignite.items.service import ItemNotFoundError, ItemService

router = public_router("/items", "items")

Skip = Annotated[int, Query(ge=0, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=100)]


async def _service(session: SessionDep) -> ItemService:
    return ItemService(session)


async def _cached_service(database: DatabaseDep, redis: RedisDep, settings: SettingsDep) -> CachedItemService:
    return CachedItemService(database, redis, ttl_seconds=settings.cache.ttl_seconds)


ItemServiceDep = Annotated[ItemService, Depends(_service)]
CachedItemServiceDep = Annotated[CachedItemService, Depends(_cached_service)]


@router.post("/", status_code=201, responses=responses(InvalidInputError, MalformedBodyError))
async def create_item(service: ItemServiceDep, item: ItemCreate) -> ItemRead:
    """Store a new item."""
    return ItemRead.model_validate(await service.create_item(item))


@router.get("/")
async def list_items(
    service: ItemServiceDep, skip: Skip = 0, limit: Limit = 100, *, active_only: bool = False
) -> list[ItemRead]:
    """Items in order of creation."""
    items = await service.get_items(skip=skip, limit=limit, active_only=active_only)
    return [ItemRead.model_validate(item) for item in items]


@router.get("/search/")
async def search_items(
    service: ItemServiceDep,
    q: Annotated[Text, Query(min_length=1, max_length=200, examples=["note"])],
    skip: Skip = 0,
    limit: Limit = 100,
) -> list[ItemRead]:
    """Items whose name or description holds `q`, in any case."""
    return [ItemRead.model_validate(item) for item in await service.search_items(q, skip=skip, limit=limit)]


@router.get("/cache/clear")
async def clear_cache(cached: CachedItemServiceDep) -> CacheCleared:
    """Drop every cached item."""
    deleted = await cached.clear()
    return CacheCleared(message=f"Successfully cleared {deleted} cached items", deleted_count=deleted)


@router.get("/cached/{item_id}", responses=responses(ItemNotFoundError))
async def get_cached_item(cached: CachedItemServiceDep, item_id: UUID) -> ItemRead:
    """An item by way of the cache."""
    return await cached.get_item(item_id)


@router.get("/{item_id}", responses=responses(ItemNotFoundError))
async def get_item(service: ItemServiceDep, item_id: UUID) -> ItemRead:
    """An item."""
    return ItemRead.model_validate(await service.get_item(item_id))


@router.put("/{item_id}", responses=responses(ItemNotFoundError))
async def update_item(
    database: DatabaseDep, cached: CachedItemServiceDep, item_id: UUID, changes: ItemUpdate
) -> ItemRead:
    """Change the fields that are given and not null."""
    async with database.tenant(None) as session:
        item = ItemRead.model_validate(await ItemService(session).update_item(item_id, changes))
    await cached.forget(item_id)
    return item


@router.delete("/{item_id}", status_code=204, response_class=Response, responses=responses(ItemNotFoundError))
async def delete_item(database: DatabaseDep, cached: CachedItemServiceDep, item_id: UUID) -> None:
    """Remove an item."""
    async with database.tenant(None) as session:
        await ItemService(session).delete_item(item_id)
    await cached.forget(item_id)
