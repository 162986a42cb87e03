"""What the tests of all features need to know of administrators."""

from __future__ import annotations

from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    shared_tables={
        "admin_events": "what administrators did to the service; theirs to read",
        "admin_keys": "of administrators",
    }
)
