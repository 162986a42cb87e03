"""The item catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.items.errors import ItemNotFoundError
from fastapi_ignite.items.models import Item
from fastapi_ignite.items.repository import ItemRepo
from fastapi_ignite.items.schemas import ItemCreate, ItemUpdate


class ItemService:
    """Works in the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._items = ItemRepo(session)

    async def create_item(self, item: ItemCreate) -> Item:
        """Store a new item."""
        stored = Item(id=new_id(), **item.model_dump())
        await self._items.save(stored)
        return stored

    async def get_item(self, item_id: UUID) -> Item:
        """The item, or a refusal."""
        item = await self._items.get(item_id)
        if item is None:
            raise ItemNotFoundError("No item has this id.")
        return item

    async def get_items(self, *, skip: int, limit: int, active_only: bool) -> Sequence[Item]:
        """A page in order of creation."""
        return await self._items.page(skip=skip, limit=limit, active_only=active_only)

    async def search_items(self, query: str, *, skip: int, limit: int) -> Sequence[Item]:
        """A page of matches in order of creation."""
        return await self._items.search(query, skip=skip, limit=limit)

    async def update_item(self, item_id: UUID, changes: ItemUpdate) -> Item:
        """Change the fields that are not null."""
        item = await self.get_item(item_id)
        for name, value in changes.model_dump(exclude_none=True).items():
            setattr(item, name, value)
        await self._items.save(item)
        return item

    async def delete_item(self, item_id: UUID) -> None:
        """Remove an item that exists."""
        await self._items.delete(await self.get_item(item_id))
