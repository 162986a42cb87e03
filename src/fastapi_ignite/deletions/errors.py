"""This module defines the errors of deletions."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, NotFoundError


class DeletionNotFoundError(NotFoundError):
    """This tenant has deleted nothing with this id."""

    code = "deletion_not_found"
    title = "Unknown deletion"
    example = Example("Nothing of this tenant with this id was deleted.")
