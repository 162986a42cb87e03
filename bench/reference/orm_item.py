"""A handler that reads an item by its primary key with the async ORM, in a session of each request, as tutorials do."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import DateTime
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.reference import DATABASE
from bench.reference.item import ItemRead


class Base(DeclarativeBase):
    """The tables of this application."""


class Item(Base):
    """The same table as that of our demo catalogue."""

    __tablename__ = "items"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    is_active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


app = FastAPI()
engine = create_async_engine(os.environ[DATABASE], pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def get_session() -> AsyncGenerator[AsyncSession]:
    async with sessions() as session:
        yield session


@app.get("/items/{item_id}", response_model=ItemRead)
async def read_item(item_id: UUID, session: Annotated[AsyncSession, Depends(get_session)]) -> Item:
    item = await session.get(Item, item_id)
    if item is None:
        raise HTTPException(404)
    return item
