"""Facts about billing for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    least_role={
        "GET /billing/subscription": Role.VIEWER,
        "POST /billing/subscribe": Role.OWNER,
        "POST /billing/cancel": Role.OWNER,
        "POST /billing/resume": Role.OWNER,
    },
    public=("/plans",),
    shared_ids=frozenset({"plan_id"}),
    shared_tables={"plans": "are offered to everybody and written by administrators"},
)
