"""Stops the work of a request whose client has closed the connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi_ignite.core.polling import run_while_polling
from fastapi_ignite.query.errors import ClientDisconnectedError

T = TypeVar("T")
# tells whether the client has closed the connection
CallerLeft = Callable[[], Awaitable[bool]]
LOOK_SECONDS = 0.25


async def cancel_on_disconnect(work: Coroutine[Any, Any, T], is_disconnected: CallerLeft) -> T:
    """Return the result of the work.

    Raises:
        ClientDisconnectedError: The client left first, and the work was cancelled.
    """

    async def look() -> None:
        if await is_disconnected():
            raise ClientDisconnectedError("The caller left before the answer came.")

    return await run_while_polling(work, look, every=LOOK_SECONDS)


async def stop_on_disconnect(events: AsyncGenerator[T], is_disconnected: CallerLeft) -> AsyncGenerator[T]:
    """Yield the events, and close their generator when the client has left.

    Raises:
        ClientDisconnectedError: the client left first, and the work has ended.
    """

    async def next_event() -> T | None:
        return await anext(events, None)

    async with aclosing(events):
        while (event := await cancel_on_disconnect(next_event(), is_disconnected)) is not None:
            yield event
