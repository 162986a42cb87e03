"""This module defines the errors of administrators' keys."""

from __future__ import annotations

from fastapi_ignite.core.errors import NotFoundError


class AdminKeyNotFoundError(NotFoundError):
    """No admin key has this id."""

    code = "admin_key_not_found"
    title = "Unknown admin key"
