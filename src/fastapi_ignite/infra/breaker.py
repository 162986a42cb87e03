"""A circuit breaker: a service that is down costs one short wait every few seconds, not one for each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar, TypeVar

T = TypeVar("T")
# Enough for a new connection to be made and answered, each wait being at least one round of the event loop.
WAITS = 20


@asynccontextmanager
async def patience(seconds: float) -> AsyncGenerator[None]:
    """Bound the time of a block, without counting the event loop's own lag.

    The time is given in many short waits, and each lasts at least one round of the loop: a process too busy to hear
    an answer that has come does not take its own slowness for the silence of the other side.

    Raises:
        TimeoutError: the block took longer.
    """
    loop = asyncio.get_running_loop()
    left = WAITS
    timer: asyncio.TimerHandle

    def wait() -> None:
        nonlocal left, timer
        left -= 1
        if left:
            timer = loop.call_later(seconds / WAITS, wait)
        else:
            scope.reschedule(loop.time())

    async with asyncio.timeout(None) as scope:
        timer = loop.call_later(seconds / WAITS, wait)
        try:
            yield
        finally:
            timer.cancel()


class CircuitBreaker:
    """Bounds each call in time. After an outage it refuses all but one attempt in `retry_after` seconds.

    A subclass says which error its callers see (`unavailable`); it may bound calls in another way, and watch what
    happens.
    """

    unavailable: ClassVar[type[Exception]]

    def __init__(self, *, outages: tuple[type[Exception], ...], timeout: float, retry_after: float) -> None:
        self._outages = (*outages, TimeoutError)
        self._timeout = timeout
        self._retry_after = retry_after
        self._closed_until = 0.0
        self._ended = False
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def run(self, operation: str, call: Callable[[], Awaitable[T]], *, timeout: float | None = None) -> T:  # noqa: ASYNC109  the bound is the point of this class
        """Return the call's result.

        Raises:
            unavailable: the call failed, took too long, or was not tried.
        """
        began = asyncio.get_running_loop().time()
        if self._ended or began < self._closed_until:
            raise self.unavailable
        if self._closed_until:
            # this one call is on trial; the others go on without, also if it is cancelled, which tells nothing
            self._closed_until = began + self._retry_after
        self._begin()
        try:
            async with self._bound(timeout or self._timeout):
                result = await call()
        except Exception as error:  # whatever a service raises, its caller goes on without it
            outage = isinstance(error, self._outages)
            self._failed(operation, error, outage=outage)
            if outage:
                self._open(operation, error)
            else:
                self._answered()
            raise self.unavailable from error
        finally:
            self._end()
        self._answered()
        return result

    async def close(self) -> None:
        """Refuse every new call, and wait for those under way, which their time limits bound."""
        self._ended = True
        await self._quiet.wait()

    def _bound(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return the context that ends a call that takes too long, by `TimeoutError`."""
        return patience(seconds)

    def _failed(self, operation: str, error: Exception, *, outage: bool) -> None:
        """Hear that a call failed."""

    def _went_away(self, operation: str, error: Exception) -> None:
        """Hear that an outage began."""

    def _recovered(self) -> None:
        """Hear that an outage is over."""

    def _begin(self) -> None:
        self._under_way += 1
        self._quiet.clear()

    def _end(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()

    def _answered(self) -> None:
        """Hear that the service answered: by a result, or by an error of this call alone."""
        if self._closed_until:
            self._closed_until = 0.0
            self._recovered()

    def _open(self, operation: str, error: Exception) -> None:
        known = self._closed_until > 0
        self._closed_until = asyncio.get_running_loop().time() + self._retry_after
        if not known:
            self._went_away(operation, error)
