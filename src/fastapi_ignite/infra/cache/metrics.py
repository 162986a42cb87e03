"""What the cache counts. `cache` is a key's name without its values, so the series stay few."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("ignite_cache_requests_total", "Look-ups by how they were answered", ["cache", "outcome"])
LOAD_SECONDS = Histogram("ignite_cache_load_seconds", "Time taken by the functions behind the cache", ["cache"])
NOT_STORED = Counter("ignite_cache_not_stored_total", "Loaded values that were not stored", ["cache", "reason"])
CORRUPT = Counter("ignite_cache_corrupt_total", "Entries that could not be read and were taken for a miss", ["cache"])
ERRORS = Counter("ignite_cache_backend_errors_total", "Backend calls that failed", ["backend", "operation", "error"])
AVAILABLE = Gauge("ignite_cache_available", "1, or 0 while the cache does without its backend", ["backend"])
OWED = Gauge("ignite_cache_owed_invalidations", "Tags still to be invalidated once the backend is back", ["backend"])
