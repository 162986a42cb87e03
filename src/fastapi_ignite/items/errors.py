"""This module defines the errors of the item catalogue."""

from __future__ import annotations

from fastapi_ignite.core.errors import NotFoundError


class ItemNotFoundError(NotFoundError):
    """No item has this id."""

    code = "item_not_found"
    title = "Unknown item"
