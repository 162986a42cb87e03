"""Facts about administrators for the tests that cover all features."""

from __future__ import annotations

from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    shared_tables={
        "admin_events": "records what administrators did, for administrators to read",
        "admin_keys": "holds the keys of administrators",
    }
)
