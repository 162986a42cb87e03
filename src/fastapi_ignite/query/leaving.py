"""Work that stops when nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.watching import watched

T = TypeVar("T")
LOOK_SECONDS = 0.25


class CallerLeftError(IgniteError):
    """The connection was closed before the answer came. Seen in logs only."""

    status = 499
    code = "caller_left"
    title = "The caller left"


async def unless_left(work: Coroutine[Any, Any, T], caller_left: Callable[[], Awaitable[bool]]) -> T:
    """The result of the work.

    Raises:
        CallerLeftError: the caller left first, and the work has ended.
    """

    async def look() -> None:
        if await caller_left():
            raise CallerLeftError("The caller left before the answer came.")

    return await watched(work, look, every=LOOK_SECONDS)
