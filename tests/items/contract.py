"""Facts about the demo items for the tests that cover all features."""

from __future__ import annotations

from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    public=("/items/",), shared_ids=frozenset({"item_id"}), shared_tables={"items": "the public demo"}
)
