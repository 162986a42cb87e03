"""Facts about usage and limits for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from fastapi_ignite.usage.tasks import roll_up
from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    least_role={
        "GET /limits/current": Role.VIEWER,
        "GET /usage": Role.VIEWER,
        "GET /usage/ledger": Role.VIEWER,
    },
    shared_tables={"usage_watermarks": "how far the roll-up came; the system role's alone"},
    jobs_of_no_row=frozenset({roll_up}),
)
