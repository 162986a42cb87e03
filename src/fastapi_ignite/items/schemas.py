"""Shapes of the demo item."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from fastapi_ignite.http.fields import Name, Text

Description = Annotated[Text, Field(max_length=2000)]


class ItemCreate(BaseModel):
    """A new item."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Notebook", "description": "Plain pages", "is_active": True}]}
    )

    name: Name = Field(examples=["Notebook"])
    description: Description | None = Field(None, examples=["Plain pages"])
    is_active: StrictBool = True


class ItemUpdate(BaseModel):
    """Changes to an item. Fields that are null or absent stay unchanged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Lined pages"}]})

    name: Name | None = None
    description: Description | None = Field(None, examples=["Lined pages"])
    is_active: StrictBool | None = None


class ItemRead(BaseModel):
    """An item as it is stored."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                    "name": "Notebook",
                    "description": "Plain pages",
                    "is_active": True,
                    "created_at": "2024-06-02T12:34:56.123456Z",
                    "updated_at": "2024-06-02T12:34:56.123456Z",
                }
            ]
        },
    )

    id: UUID
    name: str
    description: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class CacheCleared(BaseModel):
    """The number of cached entries that were removed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "Successfully cleared 3 cached items", "deleted_count": 3}]}
    )

    message: str
    deleted_count: int
