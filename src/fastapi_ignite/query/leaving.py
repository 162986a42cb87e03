"""Work that stops when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi_ignite.core.errors import IgniteError

T = TypeVar("T")
LOOK_SECONDS = 0.25


class CallerLeftError(IgniteError):
    """The connection was closed before the answer came. Seen in logs only."""

    status = 499
    code = "caller_left"
    title = "The caller left"


async def unless_left(work: Coroutine[Any, Any, T], caller_left: Callable[[], Awaitable[bool]]) -> T:
    """The result of the work, which is cancelled, and has ended, when this raises.

    Raises:
        CallerLeftError: the caller left first.
    """
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait((task,), timeout=LOOK_SECONDS))[0]:
            if await caller_left():
                raise CallerLeftError("The caller left before the answer came.")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
