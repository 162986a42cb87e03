"""The endpoints under `/v1`. Faults, latencies and counters refer to a route by its name."""
