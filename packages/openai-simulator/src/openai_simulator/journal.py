"""Records the calls since the simulator started."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

RECORDS = 1000


class Journal:
    """Counters of calls, faults and streams, and records of the last 1,000 calls."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.streams_open = 0
        self.clear()

    def clear(self) -> None:
        """Reset the counters and records, except for the calls and streams that are open."""
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.streams: Counter[str] = Counter()
        self.records: deque[dict[str, Any]] = deque(maxlen=RECORDS)

    def counters(self) -> dict[str, Any]:
        streams = {name: self.streams[name] for name in ("opened", "finished", "abandoned")}
        return {
            "calls": dict(self.calls),
            "faults": dict(self.faults),
            "in_flight": self.in_flight,
            "streams": {"open": self.streams_open, **streams},
        }
