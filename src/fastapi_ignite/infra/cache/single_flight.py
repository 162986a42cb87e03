"""Single flight within a process: the callers of one key share what the first of them comes back with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class _LeaderGoneError(Exception):
    """The caller that was at work was cancelled; it says nothing about the work."""


class SingleFlight(Generic[T]):
    """The work runs inside its first caller, with that caller's session and deadline; there is no background task."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Future[T]] = {}

    async def share(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result, and whether another caller did the work. A failure is shared as well.

        When the caller at work is cancelled, one of the waiting ones takes over.
        """
        while (flight := self._flights.get(key)) is not None:
            try:
                return await asyncio.shield(flight), True
            except _LeaderGoneError:
                continue
        return await self._lead(key, work), False

    async def _lead(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            result = await work()
        except Exception as error:
            flight.set_exception(error)
            raise
        except BaseException:
            flight.set_exception(_LeaderGoneError())
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            del self._flights[key]
            flight.exception()  # a failure that nobody waited for is no news to the loop
