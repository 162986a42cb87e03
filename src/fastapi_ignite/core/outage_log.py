"""Log outages without filling the log with the same lines."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import structlog

from fastapi_ignite.core.outages import outage_of, reason_of

QUIET_SECONDS = 60.0


class TracebackLimit:
    """A structlog processor that keeps one traceback a minute for each kind of outage.

    The other events of that minute keep their line, with the reason. The traceback of a defect is always kept.
    """

    def __init__(self, *, seconds: float = QUIET_SECONDS) -> None:
        self._seconds = seconds
        self._shown: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Remove the traceback from `event` if one of the same kind was logged within the last minute."""
        error = _exception_of(event.get("exc_info"))
        outage = outage_of(error) if error else None
        if error and outage:
            event["outage"], event["reason"] = outage.kind, reason_of(error)
            if not self._is_due(outage.kind):
                del event["exc_info"]
        return event

    def _is_due(self, kind: str) -> bool:
        with self._lock:
            now = time.monotonic()
            due = now - self._shown.get(kind, float("-inf")) >= self._seconds
            if due:
                self._shown[kind] = now
            return due


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


class OutageLog:
    """Logs when a server goes away and when it comes back, and at most one line a minute in between.

    An outage that begins and ends again within the minute is not logged a second time. It is thread-safe.
    """

    def __init__(self, log: Any, *, away: str, back: str, seconds: float = QUIET_SECONDS, **values: Any) -> None:
        """Take the messages to log, `away` and `back`. `values` are added to both events."""
        self._log = log
        self._away = away
        self._back = back
        self._seconds = seconds
        self._values = values
        self._lock = threading.Lock()
        self._logged_at = float("-inf")
        self._logged = False
        self._failures = 0
        self._failed_at = float("-inf")

    def failed(self, error: BaseException, **values: Any) -> None:
        """Report a failed call to the server."""
        with self._lock:
            now = time.monotonic()
            self._failures += 1
            self._failed_at = now
            if now - self._logged_at < self._seconds:
                return
            failures, self._failures = self._failures, 0
            self._logged_at, self._logged = now, True
        self._log.warning(self._away, error=type(error).__name__, failures=failures, **self._values, **values)

    def answered(self, began: float = float("inf")) -> None:
        """Report a successful call to the server, which began at this time of `time.monotonic()`.

        A call that began before the last failure says nothing: its answer may have left before the server went away.
        """
        if not self._logged:  # the usual case takes no lock
            return
        with self._lock:
            if began < self._failed_at:
                return
            logged, self._logged = self._logged, False
        if logged:
            self._log.info(self._back, **self._values)
