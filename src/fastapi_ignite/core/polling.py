"""Runs work while a check is repeated beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_while_polling(work: Coroutine[Any, Any, T], look: Callable[[], Awaitable[None]], *, every: float) -> T:
    """Return the result of the work; until then, await `look` again and again, with `every` seconds between.

    What `look` raises ends the work: it is cancelled, and has ended, when this raises.
    """
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait((task,), timeout=every))[0]:
            await look()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
