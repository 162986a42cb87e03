"""The rules of the item catalogue."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.items.errors import ItemNotFoundError
from fastapi_ignite.items.models import Item
from fastapi_ignite.items.repository import ItemRepo, find_item, find_page
from fastapi_ignite.items.schemas import ItemCreate, ItemRead, ItemUpdate

NO_ITEM = "No item has this id."


async def read_item(database: Database, item_id: UUID) -> ItemRead:
    """Return the item.

    Raises:
        ItemNotFoundError: No item has this id.
    """
    item = await find_item(database, item_id)
    if item is None:
        raise ItemNotFoundError(NO_ITEM)
    return ItemRead.model_validate(item)


class ItemService:
    """The item catalogue. It works in the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._items = ItemRepo(session)

    async def create_item(self, item: ItemCreate) -> ItemRead:
        stored = Item(id=new_id(), **item.model_dump())
        await self._items.save(stored)
        return ItemRead.model_validate(stored)

    @staticmethod
    async def get_items(database: Database, *, skip: int, limit: int, active_only: bool) -> list[ItemRead]:
        """Return a page in order of creation, in a transaction of its own."""
        items = await find_page(database, skip=skip, limit=limit, active_only=active_only)
        return [ItemRead.model_validate(item) for item in items]

    async def search_items(self, query: str, *, skip: int, limit: int) -> list[ItemRead]:
        """Return a page of matches in order of creation."""
        items = await self._items.search(query, skip=skip, limit=limit)
        return [ItemRead.model_validate(item) for item in items]

    async def update_item(self, item_id: UUID, changes: ItemUpdate) -> ItemRead:
        """Change the fields that are not null."""
        item = await self._get(item_id)
        for name, value in changes.model_dump(exclude_none=True).items():
            setattr(item, name, value)
        await self._items.save(item)
        return ItemRead.model_validate(item)

    async def delete_item(self, item_id: UUID) -> None:
        """Remove an item that exists."""
        await self._items.delete(await self._get(item_id))

    async def _get(self, item_id: UUID) -> Item:
        item = await self._items.get(item_id)
        if item is None:
            raise ItemNotFoundError(NO_ITEM)
        return item
