"""Run a coroutine and repeat a check while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_while_polling(work: Coroutine[Any, Any, T], check: Callable[[], Awaitable[None]], *, every: float) -> T:
    """Return the result of `work`. Until it ends, await `check` every `every` seconds.

    If `check` raises, `work` is cancelled, and the error is raised once the work has ended.
    """
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait((task,), timeout=every))[0]:
            await check()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
