"""Tells the current operation what is left of a cap after a decision."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from fastapi_ignite.core import clock


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A cap after a decision on it. `resets_at` is None where the cap never resets."""

    metric: str
    cap: int
    used: int
    reserved: int
    resets_at: datetime | None

    def headers(self) -> dict[str, str]:
        """Return the headers that tell what is left, and in how many seconds all of it is back."""
        told = {
            "X-Quota-Metric": self.metric,
            "X-Quota-Limit": str(self.cap),
            "X-Quota-Remaining": str(max(0, self.cap - self.used - self.reserved)),
        }
        if self.resets_at is not None:
            told["X-Quota-Reset"] = str(max(1, -int((clock.now() - self.resets_at).total_seconds() // 1)))
        return told


Listener = Callable[[QuotaState], None]
_listener: ContextVar[Listener | None] = ContextVar("quota_listener", default=None)


def listen(listener: Listener) -> None:
    """Call the listener with each decision on a cap that this task makes from now on."""
    _listener.set(listener)


def tell(state: QuotaState) -> None:
    """Tell the operation under way of a decision; a worker has no listener."""
    listener = _listener.get()
    if listener is not None:
        listener(state)
