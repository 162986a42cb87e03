"""Shapes of the demo item."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from fastapi_ignite.http.deps import Name, Text

Description = Annotated[Text, Field(max_length=2000)]


class ItemCreate(BaseModel):
    """A new item."""

    name: Name = Field(examples=["Notebook"])
    description: Description | None = Field(None, examples=["Plain pages"])
    is_active: bool = True


class ItemUpdate(BaseModel):
    """What to change; null and absent fields are left as they are."""

    name: Name | None = None
    description: Description | None = Field(None, examples=["Lined pages"])
    is_active: bool | None = None


class ItemRead(BaseModel):
    """An item as it is stored."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    description: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class CacheCleared(BaseModel):
    """How many cached items were dropped."""

    message: str
    deleted_count: int
