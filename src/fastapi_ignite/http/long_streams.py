"""Event streams that last as long as the client wants: how many a tenant may have, and when one must end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from fastapi import Request
from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import BaseModel

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import Example, IgniteError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.core.security import Principal
from fastapi_ignite.http.authentication import require_still_permitted
from fastapi_ignite.http.event_stream import EventStreamResponse

# how long a stream may go on after its token has expired or its tenant was suspended
RECHECK_SECONDS = 5.0
GoOn = Callable[[float], Awaitable[bool]]
_open: Counter[UUID] = Counter()


class TooManyEventStreamsError(IgniteError):
    """The tenant has as many event streams open at this process as it may."""

    status = 429
    code = "too_many_event_streams"
    title = "Too many event streams"
    example = Example("This tenant may have 20 event streams open at a time. Close one first.")


def long_stream(
    request: Request,
    principal: Principal,
    settings: Settings,
    scope: Scope,
    events: Callable[[GoOn], AsyncGenerator[tuple[str, BaseModel, str]]],
) -> EventStreamResponse:
    """Return a response of the events, which end when the client leaves or the server stops.

    An `error` event ends them when the token expires, or the tenant is suspended.
    """

    def named(caller_left: Callable[[], Awaitable[bool]]) -> AsyncGenerator[tuple[str, BaseModel, str]]:
        checked_at = time.monotonic()

        async def go_on(seconds: float) -> bool:
            nonlocal checked_at
            await asyncio.sleep(seconds)
            if getattr(request.state, "server_stops", False) or await caller_left():
                return False
            if time.monotonic() - checked_at >= RECHECK_SECONDS:
                checked_at = time.monotonic()
                await require_still_permitted(request, scope)
            return True

        return events(go_on)

    admission = _place(principal.tenant_id, settings.rate_limit.event_streams)
    return EventStreamResponse(request, named, admission=admission, begins_with=KEEPALIVE_COMMENT)


@contextmanager
def _place(tenant_id: UUID, most: int) -> Iterator[None]:
    if _open[tenant_id] >= most:
        raise TooManyEventStreamsError(
            f"This tenant may have {most} event streams open at a time. Close one first.", headers={"Retry-After": "5"}
        )
    _open[tenant_id] += 1
    try:
        yield
    finally:
        _open[tenant_id] -= 1
        if not _open[tenant_id]:
            del _open[tenant_id]
