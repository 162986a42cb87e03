"""This module defines the errors of administrators' keys."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, NotFoundError


class AdminKeyNotFoundError(NotFoundError):
    """No admin key has this id."""

    code = "admin_key_not_found"
    title = "Unknown admin key"
    example = Example("No admin key has the id 0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b.")
