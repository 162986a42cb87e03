"""This module defines the errors of projects."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, NotFoundError


class ProjectNotFoundError(NotFoundError):
    """The id is unknown or another tenant's."""

    code = "project_not_found"
    title = "Unknown project"
    example = Example("No project of this tenant has this id.")
