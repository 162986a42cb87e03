"""Stops the work of a request whose client has closed the connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi_ignite.core.polling import run_while_polling
from fastapi_ignite.query.errors import ClientDisconnectedError

T = TypeVar("T")
LOOK_SECONDS = 0.25


async def cancel_on_disconnect(work: Coroutine[Any, Any, T], is_disconnected: Callable[[], Awaitable[bool]]) -> T:
    """Return the result of the work.

    Raises:
        ClientDisconnectedError: The client left first, and the work was cancelled.
    """

    async def look() -> None:
        if await is_disconnected():
            raise ClientDisconnectedError("The caller left before the answer came.")

    return await run_while_polling(work, look, every=LOOK_SECONDS)
