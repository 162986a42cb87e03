"""This module defines the errors of the item catalogue."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, NotFoundError


class ItemNotFoundError(NotFoundError):
    """No item has this id."""

    code = "item_not_found"
    title = "Unknown item"
    example = Example("No item has this id.")
