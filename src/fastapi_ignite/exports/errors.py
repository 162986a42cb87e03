"""This module defines the errors that exports raise."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError, NotFoundError


class ExportNotFoundError(NotFoundError):
    """The id is unknown, expired or another tenant's."""

    code = "export_not_found"
    title = "Unknown export"


class ExportNotReadyError(IgniteError):
    """There is no archive yet, or the export failed and there will be none."""

    status = 409
    code = "export_not_ready"
    title = "Export not ready"


class TooManyExportsError(IgniteError):
    """The tenant keeps as many archives as it may."""

    status = 429
    code = "too_many_exports"
    title = "Too many exports"
