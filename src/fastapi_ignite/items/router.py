"""The public item routes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Response

from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.http.deps import DatabaseDep, SessionDep
from fastapi_ignite.http.fields import Text
from fastapi_ignite.http.problems import MalformedBodyError, responses
from fastapi_ignite.http.routing import public_router
from fastapi_ignite.infra.cache import NOT_MODIFIED, cached_response
from fastapi_ignite.items.cached_service import ALL_LISTS, ONE_ITEM, CachedItemService
from fastapi_ignite.items.errors import ItemNotFoundError
from fastapi_ignite.items.schemas import CacheCleared, ItemCreate, ItemRead, ItemUpdate
from fastapi_ignite.items.service import ItemService, read_item

LIST_TTL_SECONDS = 60
router = public_router(
    "/items",
    "items",
    "A public catalog that shows CRUD, search and caching. Production has it only with `DEMO_ITEMS=on`.",
)
router.enabled = lambda settings: settings.app.items_enabled

ItemId = Annotated[UUID, Path(examples=["f47ac10b-58cc-4372-a567-0e02b2c3d479"])]
Skip = Annotated[int, Query(ge=0, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=100)]


async def _service(session: SessionDep) -> ItemService:
    return ItemService(session)


async def _cached_service(database: DatabaseDep) -> CachedItemService:
    return CachedItemService(database)


ItemServiceDep = Annotated[ItemService, Depends(_service)]
CachedItemServiceDep = Annotated[CachedItemService, Depends(_cached_service)]


@router.post("/", status_code=201, responses=responses(InvalidInputError, MalformedBodyError))
async def create_item(cached: CachedItemServiceDep, item: ItemCreate) -> ItemRead:
    """Store a new item."""
    return await cached.create_item(item)


@router.get("/", responses=NOT_MODIFIED)
@cached_response(key="item:list", ttl=LIST_TTL_SECONDS, tags=[ALL_LISTS], shared=True)
async def list_items(
    database: DatabaseDep, skip: Skip = 0, limit: Limit = 100, *, active_only: bool = False
) -> list[ItemRead]:
    """Items in order of creation."""
    return await ItemService.get_items(database, skip=skip, limit=limit, active_only=active_only)


@router.get("/search/", responses=NOT_MODIFIED)
@cached_response(key="item:search", ttl=LIST_TTL_SECONDS, tags=[ALL_LISTS], shared=True)
async def search_items(
    service: ItemServiceDep,
    q: Annotated[Text, Query(min_length=1, max_length=200, examples=["note"])],
    skip: Skip = 0,
    limit: Limit = 100,
) -> list[ItemRead]:
    """Items whose name or description holds `q`, in any case."""
    return await service.search_items(q, skip=skip, limit=limit)


@router.get("/cache/clear")
async def clear_cache(cached: CachedItemServiceDep) -> CacheCleared:
    """Drop everything that is cached of the items."""
    return await cached.clear()


@router.get("/cached/{item_id}", responses=responses(ItemNotFoundError))
async def get_cached_item(cached: CachedItemServiceDep, item_id: ItemId) -> ItemRead:
    """An item by way of the cached function."""
    return await cached.get_item(item_id)


@router.get("/{item_id}", responses=responses(ItemNotFoundError) | NOT_MODIFIED)
@cached_response(key="item:read", tags=[ONE_ITEM], shared=True, absence=ItemNotFoundError)
async def get_item(database: DatabaseDep, item_id: ItemId) -> ItemRead:
    """An item."""
    return await read_item(database, item_id)


@router.put("/{item_id}", responses=responses(ItemNotFoundError, InvalidInputError, MalformedBodyError))
async def update_item(cached: CachedItemServiceDep, item_id: ItemId, changes: ItemUpdate) -> ItemRead:
    """Change the fields that are given and not null."""
    return await cached.update_item(item_id, changes)


@router.delete("/{item_id}", status_code=204, response_class=Response, responses=responses(ItemNotFoundError))
async def delete_item(cached: CachedItemServiceDep, item_id: ItemId) -> None:
    """Remove an item."""
    await cached.delete_item(item_id)
