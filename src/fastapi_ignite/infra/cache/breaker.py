"""Calls to a backend that is down cost one short timeout every few seconds, not one a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from fastapi_ignite.infra.cache.backend import CacheBackend, CacheUnavailableError
from fastapi_ignite.infra.cache.metrics import AVAILABLE, ERRORS

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Breaker:
    """Bounds each call in time; after an outage refuses all but one attempt in `retry_after` seconds."""

    def __init__(self, backend: CacheBackend, *, timeout: float, retry_after: float) -> None:
        self._name = backend.name
        self._outages = (*backend.outages, TimeoutError)
        self._timeout = timeout
        self._retry_after = retry_after
        self._closed_until = 0.0
        self._ended = False
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        AVAILABLE.labels(self._name).set(1)

    async def run(self, operation: str, call: Callable[[], Awaitable[T]], *, timeout: float | None = None) -> T:  # noqa: ASYNC109  the bound is the point of this class
        """The call's result.

        Raises:
            CacheUnavailableError: it failed, took too long, or was not tried.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._ended or began < self._closed_until:
            raise CacheUnavailableError
        on_trial = self._closed_until > 0
        if on_trial:
            self._closed_until = began + self._retry_after
        limit = timeout or self._timeout
        self._begin()
        try:
            async with asyncio.timeout(limit):
                result = await call()
        except Exception as error:  # whatever a backend raises, its caller goes on without it
            ERRORS.labels(self._name, operation, type(error).__name__).inc()
            # a loop that was blocked itself runs into every timeout, which says nothing about the backend
            own_fault = isinstance(error, TimeoutError) and loop.time() - began > 2 * limit
            if isinstance(error, self._outages) and not own_fault:
                self._open(operation, error, first=not on_trial)
            else:
                log.warning("cache call failed", backend=self._name, operation=operation, error=type(error).__name__)
            raise CacheUnavailableError from error
        finally:
            self._end()
        if self._closed_until:
            self._recover()
        return result

    async def close(self) -> None:
        """No call is tried from now on; those under way end first, which their limits bound."""
        self._ended = True
        await self._quiet.wait()

    def _begin(self) -> None:
        self._under_way += 1
        self._quiet.clear()

    def _end(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()

    def _open(self, operation: str, error: Exception, *, first: bool) -> None:
        self._closed_until = asyncio.get_running_loop().time() + self._retry_after
        AVAILABLE.labels(self._name).set(0)
        if first:
            log.warning("cache away", backend=self._name, operation=operation, error=type(error).__name__)

    def _recover(self) -> None:
        self._closed_until = 0.0
        AVAILABLE.labels(self._name).set(1)
        log.info("cache back", backend=self._name)
