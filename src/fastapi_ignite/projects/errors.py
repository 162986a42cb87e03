"""This module defines the errors of projects."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, NotFoundError


class ProjectNotFoundError(NotFoundError):
    """The id is unknown, of a deleted project or another tenant's."""

    code = "project_not_found"
    title = "Unknown project"
    example = Example("No project of this tenant has this id.")


class ProjectNameTakenError(IgniteError):
    """Another project of the tenant has the name."""

    status = 409
    code = "project_name_taken"
    title = "Name taken"
    example = Example("Another project of this tenant has this name.")
