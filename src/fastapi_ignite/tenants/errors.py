"""This module defines the errors of tenants."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, NotFoundError


class TenantNotFoundError(NotFoundError):
    """No tenant has this id."""

    code = "tenant_not_found"
    title = "Unknown tenant"
    example = Example("The token's tenant does not exist.")
