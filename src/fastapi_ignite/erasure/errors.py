"""This module defines the errors of erasing a tenant."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError


class ErasureNotConfirmedError(IgniteError):
    """`confirm` is neither the present name nor the id of the tenant, so nothing was erased."""

    status = 409
    code = "erasure_not_confirmed"
    title = "Not confirmed"
    example = Example("confirm must be the name or the id of the tenant that is to be erased.")


class ExportRequiredError(IgniteError):
    """The tenant has no downloaded archive of all that it holds now, so nothing was erased."""

    status = 409
    code = "export_required"
    title = "Export first"
    example = Example(
        "No archive with the uploaded files holds everything. POST /tenants/export?include_files=true makes one.",
        export_id=None,
    )
