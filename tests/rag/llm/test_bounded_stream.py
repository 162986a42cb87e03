"""The bound on a streamed answer must close its source when it is closed, not later by garbage collection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from fastapi_ignite.rag.llm.bounded_stream import bounded


class Source(httpx2.AsyncByteStream):
    """A source of ten parts of ten bytes; `open` is true while somebody reads from it."""

    open = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.open = True
        try:
            for _ in range(10):
                yield b"0123456789"
        finally:
            self.open = False


async def bounded_answer(source: Source, limit: int) -> httpx2.Response:
    answer = httpx2.Response(200, stream=source, request=httpx2.Request("POST", "http://127.0.0.1/v1/responses"))
    await bounded(limit)(answer)
    return answer


async def test_an_answer_within_the_bound_is_read_whole() -> None:
    answer = await bounded_answer(Source(), 100)
    assert await answer.aread() == b"0123456789" * 10


async def test_a_longer_answer_breaks_and_its_source_is_closed() -> None:
    source = Source()
    answer = await bounded_answer(source, 99)
    with pytest.raises(httpx2.ReadError) as broken:
        await answer.aread()
    assert not source.open, broken  # otherwise the error's traceback would keep the source open


async def test_a_reader_that_leaves_early_closes_the_source() -> None:
    source = Source()
    answer = await bounded_answer(source, 100)
    async with contextlib.aclosing(answer.aiter_raw()) as parts:
        assert await anext(parts) == b"0123456789"
        kept = answer.stream
    assert not source.open, kept
