"""Tests of the limit of the memory backend."""

from __future__ import annotations

import tracemalloc

from fastapi_ignite.infra.cache import MemoryBackend

BOUND = 2**20
CACHE_FILES = ("*/infra/cache/*", __file__)


async def write(backend: MemoryBackend, key: str, size: int) -> bool:
    return await backend.write(key, b"x" * size, 60, (), ())


async def held(backend: MemoryBackend, key: str) -> bool:
    return (await backend.read(key, ())).data is not None


async def test_the_least_recently_used_goes_first() -> None:
    backend = MemoryBackend(max_bytes=BOUND)
    for number in range(10):
        await write(backend, str(number), 90_000)
    assert await held(backend, "0")
    for number in range(10, 14):
        await write(backend, str(number), 90_000)
    assert await held(backend, "0"), "it was read"
    assert [number for number in range(1, 14) if not await held(backend, str(number))] == [1, 2, 3]


async def test_bytes_are_bounded_whatever_the_sizes() -> None:
    backend = MemoryBackend(max_bytes=BOUND)
    for number in range(3000):
        await write(backend, f"key:{number}", number * 37 % 5000)
        assert backend.stored_bytes <= BOUND
    for number in range(3000):
        await write(backend, "one key", number)
    assert backend.stored_bytes <= BOUND
    await backend.delete([f"key:{number}" for number in range(3000)] + ["one key"])
    assert backend.stored_bytes == 0


async def test_the_count_is_what_the_process_pays() -> None:
    for size in (1, 1000):
        backend = MemoryBackend(max_bytes=BOUND)
        tracemalloc.start()
        try:
            for number in range(5000):
                await write(backend, f"item:3f2a91c0:-:{number}", size)
            traces = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        # other threads of the process use memory that the cache does not count
        own = traces.filter_traces([tracemalloc.Filter(inclusive=True, filename_pattern=path) for path in CACHE_FILES])
        paid = sum(each.size for each in own.statistics("filename"))
        assert 0.5 * BOUND < paid < 1.1 * BOUND


async def test_a_value_larger_than_the_bound_is_refused_and_drives_nothing_out() -> None:
    backend = MemoryBackend(max_bytes=BOUND)
    await write(backend, "small", 10)
    assert not await write(backend, "large", BOUND)
    assert await held(backend, "small")
    assert not await held(backend, "large")
