"""This module defines the errors that exports raise."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, NotFoundError


class ExportNotFoundError(NotFoundError):
    """The id is unknown, expired or another tenant's."""

    code = "export_not_found"
    title = "Unknown export"
    example = Example("This tenant has no export with this id.")


class ExportNotReadyError(IgniteError):
    """There is no archive yet, or the export failed and there will be none."""

    status = 409
    code = "export_not_ready"
    title = "Export not ready"
    example = Example("The export is running; there is no archive to fetch.", state="running")


class TooManyExportsError(IgniteError):
    """The tenant keeps as many archives as it may."""

    status = 429
    code = "too_many_exports"
    title = "Too many exports"
    example = Example("10 archives are kept; each is removed seven days after it was made.", cap=10)
