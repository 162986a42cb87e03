"""Streams that end where no answer is longer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2

# An event carries a token and up to 2 KiB around it; the last ones repeat the answer.
BYTES_A_TOKEN = 2048
# compressed bytes would say little about the length of what they hold
UNCOMPRESSED = {"Accept-Encoding": "identity"}


def bounded(limit: int, *, path: str = "") -> Callable[[httpx2.Response], Awaitable[None]]:
    """An event hook of a client: a longer response, of requests whose path ends so, breaks with `ReadError`."""

    async def bound(response: httpx2.Response) -> None:
        if response.request.url.path.endswith(path):
            stream: Any = response.stream
            response.stream = _BoundedStream(stream, limit)

    return bound


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
