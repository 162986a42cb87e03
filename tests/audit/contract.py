"""Facts about the audit log for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(least_role={"GET /audit": Role.ADMIN})
