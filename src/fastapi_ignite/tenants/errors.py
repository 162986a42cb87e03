"""This module defines the errors of tenants."""

from __future__ import annotations

from fastapi_ignite.core.errors import NotFoundError


class TenantNotFoundError(NotFoundError):
    """No tenant has this id."""

    code = "tenant_not_found"
    title = "Unknown tenant"
