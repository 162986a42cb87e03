"""Response headers that tell how much of a quota is left."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fastapi_ignite.core import clock


class Headers(Protocol):
    """The headers of a response, of any framework."""

    def __setitem__(self, name: str, value: str, /) -> None: ...


_response_headers: ContextVar[Headers | None] = ContextVar("quota_headers", default=None)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota after a reservation or a refusal. `resets_at` is None if it never resets."""

    metric: str
    cap: int
    used: int
    reserved: int
    resets_at: datetime | None

    def headers(self) -> dict[str, str]:
        """Return the headers: what is left, and the seconds until the quota resets."""
        headers = {
            "X-Quota-Metric": self.metric,
            "X-Quota-Limit": str(self.cap),
            "X-Quota-Remaining": str(max(0, self.cap - self.used - self.reserved)),
        }
        if self.resets_at is not None:
            headers["X-Quota-Reset"] = str(max(1, -int((clock.now() - self.resets_at).total_seconds() // 1)))
        return headers


def attach_quota_headers(headers: Headers) -> None:
    """Let `add_quota_headers` write to these headers in this task, because services do not know the response."""
    _response_headers.set(headers)


def add_quota_headers(state: QuotaState) -> None:
    """Add the quota's headers to the current response. In a worker there is none, so nothing happens."""
    headers = _response_headers.get()
    if headers is not None:
        for name, value in state.headers().items():
            headers[name] = value
