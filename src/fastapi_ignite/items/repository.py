"""SQL of items."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import Database, FixedStatement, Record
from fastapi_ignite.items.models import Item

_PLAN_FOR_THIS_PATTERN = text("SET LOCAL plan_cache_mode = force_custom_plan")


_COLUMNS = "id, name, description, is_active, created_at, updated_at"
_ITEM = FixedStatement(f"SELECT {_COLUMNS} FROM items WHERE id = :id")  # noqa: S608  the columns are constant
_PAGE = FixedStatement(f"""
SELECT {_COLUMNS} FROM items WHERE is_active OR NOT CAST(:active_only AS boolean)
ORDER BY created_at, id OFFSET :skip LIMIT :limit
""")  # noqa: S608  the columns are constant


async def find_item(database: Database, item_id: UUID) -> Record | None:
    """Return the columns of an item, or None."""
    rows = await database.read(None, _ITEM, {"id": item_id})
    return rows[0] if rows else None


async def find_page(database: Database, *, skip: int, limit: int, active_only: bool) -> Sequence[Record]:
    """Return the columns of the items of a page, ordered by creation time, then by id."""
    return await database.read(None, _PAGE, {"skip": skip, "limit": limit, "active_only": active_only})


class ItemRepo:
    """The items. Lists are ordered by creation time, then by id."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, item_id: UUID) -> Item | None:
        return await self._session.get(Item, item_id)

    async def search(self, query: str, *, skip: int, limit: int) -> Sequence[Item]:
        """Return items whose name or description contains `query`; `%` and `_` are plain characters."""
        matches = or_(Item.name.icontains(query, autoescape=True), Item.description.icontains(query, autoescape=True))
        statement = select(Item).where(matches).order_by(Item.created_at, Item.id).offset(skip).limit(limit)
        # a generic plan for all patterns would never use the trigram index
        await self._session.execute(_PLAN_FOR_THIS_PATTERN)
        return (await self._session.scalars(statement)).all()

    async def save(self, item: Item) -> None:
        """Insert or update the item, and read back what the server set."""
        self._session.add(item)
        await self._session.flush()
        await self._session.refresh(item)

    async def delete(self, item: Item) -> None:
        await self._session.delete(item)
