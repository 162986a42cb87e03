"""This module defines the errors of deletions."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, NotFoundError


class DeletionNotFoundError(NotFoundError):
    """Nothing with this id was deleted, or it is another tenant's."""

    code = "deletion_not_found"
    title = "Unknown deletion"
    example = Example("Nothing of this tenant with this id was deleted.")
