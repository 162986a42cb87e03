"""Ends the stream of a server that sends more than any answer can be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2

# compressed bytes would say little about the length of what they hold
UNCOMPRESSED = {"Accept-Encoding": "identity"}


def bounded(limit: int, *, path: str = "") -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return a hook for an HTTP client, which breaks a response longer than `limit` bytes with `ReadError`.

    It acts on requests whose path ends with `path`.
    """

    async def bound_response(response: httpx2.Response) -> None:
        if response.request.url.path.endswith(path):
            stream: Any = response.stream
            response.stream = _BoundedStream(stream, limit)

    return bound_response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._stream)
        try:
            async for part in parts:
                self._left -= len(part)
                if self._left < 0:
                    raise httpx2.ReadError("the answer is longer than an answer can be")
                yield part
        finally:
            # an abandoned generator is closed by the garbage collector, at the same time as those it reads from
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()
