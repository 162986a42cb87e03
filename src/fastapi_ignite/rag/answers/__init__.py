"""Passages, quotes and citations: what both engines make their answers of."""
