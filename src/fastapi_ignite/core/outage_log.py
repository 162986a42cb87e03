"""Lines about outages: each one is told, and none fills the log."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import structlog

from fastapi_ignite.core.outages import outage_of, reason_of

QUIET_SECONDS = 60.0


class TracebackLimit:
    """A processor of log events that lets one traceback a minute through for each kind of outage.

    An event that loses its traceback keeps its line, with the reason. A traceback of a defect always stays.
    """

    def __init__(self, *, seconds: float = QUIET_SECONDS) -> None:
        self._seconds = seconds
        self._shown: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Take the traceback out of `event` where the kind of its exception was shown within the minute."""
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
    """Says once that a server is away and once that it is back, and in between at most one line a minute.

    One that comes and goes within the minute is not told again. Any thread may call it.
    """

    def __init__(self, log: Any, *, away: str, back: str, seconds: float = QUIET_SECONDS, **values: Any) -> None:
        """`away` and `back` are the lines, `values` stand in each of them."""
        self._log = log
        self._away = away
        self._back = back
        self._seconds = seconds
        self._values = values
        self._lock = threading.Lock()
        self._told_at = float("-inf")
        self._told = False
        self._failures = 0

    def failed(self, error: BaseException, **values: Any) -> None:
        """A call to the server failed."""
        with self._lock:
            now = time.monotonic()
            self._failures += 1
            if now - self._told_at < self._seconds:
                return
            failures, self._failures = self._failures, 0
            self._told_at, self._told = now, True
        self._log.warning(self._away, error=type(error).__name__, failures=failures, **self._values, **values)

    def answered(self) -> None:
        """A call to the server went well."""
        if not self._told:  # the usual case takes no lock
            return
        with self._lock:
            told, self._told = self._told, False
        if told:
            self._log.info(self._back, **self._values)
