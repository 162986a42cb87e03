"""What the tests of all features need to know of the audit."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(least_role={"GET /audit": Role.ADMIN})
