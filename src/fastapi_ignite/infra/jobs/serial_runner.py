"""Calls that a process makes one after the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any


class SerialRunner:
    """Runs one call at a time. A call that waits for its turn holds no worker thread, so other jobs go on.

    If the process ends before its turn, a periodic job finds its row. Calls with equal arguments wait as one.
    """

    def __init__(self, function: Callable[..., Awaitable[None]]) -> None:
        self._function = function
        self._waiting: dict[tuple[Any, ...], contextvars.Context] = {}
        self._busy = False

    async def run(self, *arguments: Any) -> None:
        """Call the function now, and then for what other callers left; or leave it to the caller that is busy."""
        self._waiting.setdefault(arguments, contextvars.copy_context())
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                following = next(iter(self._waiting))
                context = self._waiting.pop(following)
                await asyncio.create_task(self._call(following), context=context)
        finally:
            self._busy = False

    async def _call(self, arguments: tuple[Any, ...]) -> None:
        await self._function(*arguments)
