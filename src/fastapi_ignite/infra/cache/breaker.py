"""The breaker in front of a cache backend, and what it counts."""

from __future__ import annotations

from typing import ClassVar

import structlog

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.infra.breaker import CircuitBreaker
from fastapi_ignite.infra.cache.backend import CacheBackend, CacheUnavailableError
from fastapi_ignite.infra.cache.metrics import AVAILABLE, ERRORS

log = structlog.get_logger(__name__)


class Breaker(CircuitBreaker):
    """Callers see `CacheUnavailableError`, whatever the backend raised."""

    unavailable: ClassVar[type[Exception]] = CacheUnavailableError

    def __init__(self, backend: CacheBackend, *, timeout: float, retry_after: float) -> None:
        super().__init__(outages=backend.outages, timeout=timeout, retry_after=retry_after)
        self._name = backend.name
        self._outages_log = OutageLog(log, away="cache away", back="cache back", backend=backend.name)
        AVAILABLE.labels(self._name).set(1)

    def _failed(self, operation: str, error: Exception, *, outage: bool) -> None:
        ERRORS.labels(self._name, operation, type(error).__name__).inc()
        if outage:
            AVAILABLE.labels(self._name).set(0)
        else:
            log.warning("cache call failed", backend=self._name, operation=operation, error=type(error).__name__)

    def _went_away(self, operation: str, error: Exception) -> None:
        self._outages_log.failed(error, operation=operation)

    def _recovered(self) -> None:
        AVAILABLE.labels(self._name).set(1)
        self._outages_log.answered()
