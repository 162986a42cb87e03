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
        "The archive is erased too, and nobody has downloaded it: "
        "GET /tenants/exports/0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b/download.",
        export_id="0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    )
