"""What the tests of all features need to know of billing."""

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
    shared_tables={"plans": "offered to everybody, written by operators"},
)
