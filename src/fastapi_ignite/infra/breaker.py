"""A circuit breaker: a service that is down costs one short wait every few seconds, not one for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

T = TypeVar("T")
# Enough for a new connection to be made and answered, each wait being at least one round of the event loop.
WAITS = 20


class TimeLimit:
    """Bounds the time of calls, without counting the event loop's own lag.

    The time is given in many short waits, and each lasts at least one round of the loop: a process too busy to hear
    an answer that has come does not take its own slowness for the silence of the other side. One timer counts the
    waits of all calls under way, because a timer of its own for each took as long as the rest of the breaker.
    """

    def __init__(self, seconds: float) -> None:
        self._wait = seconds / WAITS
        self._waits = 0
        self._last_waits: dict[asyncio.Timeout, int] = {}  # of the calls under way, the oldest first
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the call's result.

        Raises:
            TimeoutError: the call took longer.
        """
        if self._timer is None:
            self._start_wait()
        async with asyncio.timeout(None) as limit:
            self._last_waits[limit] = self._waits + WAITS  # its first wait may have begun before it
            try:
                return await call()
            finally:
                self._last_waits.pop(limit, None)

    def _start_wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._wait, self._end_wait)

    def _end_wait(self) -> None:
        self._waits += 1
        for limit, last in list(self._last_waits.items()):
            if last > self._waits:
                break
            del self._last_waits[limit]
            limit.reschedule(0)
        self._timer = None
        if self._last_waits:
            self._start_wait()


class CircuitBreaker:
    """Bounds each call in time. After an outage it refuses all but one attempt in `retry_after` seconds.

    A subclass says which error its callers see (`unavailable`); it may bound calls in another way, and watch what
    happens.
    """

    unavailable: ClassVar[type[Exception]]

    def __init__(self, *, outages: tuple[type[Exception], ...], timeout: float, retry_after: float) -> None:
        self._outages = (*outages, TimeoutError)
        self._limit = TimeLimit(timeout)
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
            result = await self._bounded(call, timeout)
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

    def _bounded(self, call: Callable[[], Awaitable[T]], seconds: float | None) -> Awaitable[T]:
        """Run the call, and end it by a `TimeoutError` where it takes too long. None is the usual time."""
        limit = self._limit if seconds is None else TimeLimit(seconds)
        return limit.run(call)

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
