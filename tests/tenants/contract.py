"""Facts about a tenant's own operations for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    least_role={"GET /tenants/current": Role.VIEWER, "PATCH /tenants/current": Role.ADMIN},
)
