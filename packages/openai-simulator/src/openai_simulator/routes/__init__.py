"""The endpoints under `/v1`; a route's name is what faults, latencies and counters know it by."""
