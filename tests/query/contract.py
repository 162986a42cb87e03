"""Facts about questions for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    least_role={
        "POST /query/ask": Role.MEMBER,
        "POST /query/search": Role.VIEWER,
    }
)
