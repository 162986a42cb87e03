"""What the tests of all features need to know of the demo items."""

from __future__ import annotations

from support.feature_contracts import FeatureContract

CONTRACT = FeatureContract(
    public=("/items/",), shared_ids=frozenset({"item_id"}), shared_tables={"items": "the public demo"}
)
