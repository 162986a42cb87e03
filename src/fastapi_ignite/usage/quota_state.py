"""What is left of a cap, told with the answer that used some of it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fastapi_ignite.core import clock


class Headers(Protocol):
    """Those of an answer, by whichever framework."""

    def __setitem__(self, name: str, value: str, /) -> None: ...


_answer: ContextVar[Headers | None] = ContextVar("quota_headers", default=None)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A cap after a decision on it. `resets_at` null: it never does."""

    metric: str
    cap: int
    used: int
    reserved: int
    resets_at: datetime | None

    def headers(self) -> dict[str, str]:
        """As the rate limit's: what is left, and the seconds until all of it is back."""
        told = {
            "X-Quota-Metric": self.metric,
            "X-Quota-Limit": str(self.cap),
            "X-Quota-Remaining": str(max(0, self.cap - self.used - self.reserved)),
        }
        if self.resets_at is not None:
            told["X-Quota-Reset"] = str(max(1, -int((clock.now() - self.resets_at).total_seconds() // 1)))
        return told


def note_on(headers: Headers) -> None:
    """From now on in this task: the service that decides knows of no request."""
    _answer.set(headers)


def note(state: QuotaState) -> None:
    """Put it on the answer of the operation under way; a worker has none."""
    headers = _answer.get()
    if headers is not None:
        for name, value in state.headers().items():
            headers[name] = value
