"""The cache of this process: made from the settings, found by the decorators."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from fastapi_ignite.core.sections import CacheSettings
from fastapi_ignite.infra.cache.backend import CacheBackend
from fastapi_ignite.infra.cache.cache import Cache
from fastapi_ignite.infra.cache.file import FileBackend
from fastapi_ignite.infra.cache.memory import MemoryBackend
from fastapi_ignite.infra.cache.redis import RedisBackend


class _Use:
    """One block that uses a cache; blocks need not end in the order they began, nor differ in their cache."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache


_in_use: list[_Use] = []


@asynccontextmanager
async def open_cache(settings: CacheSettings, *, redis_url: str) -> AsyncGenerator[Cache]:
    """A cache on the backend that the settings name, in use until the block ends."""
    cache = Cache(
        _backend(settings, redis_url),
        default_ttl=settings.ttl_seconds,
        negative_ttl=settings.negative_ttl_seconds,
        max_value_bytes=settings.max_value_bytes,
        timeout=settings.timeout_seconds,
        lock_seconds=settings.lock_seconds,
    )
    try:
        with use_cache(cache):
            yield cache
    finally:
        await cache.close()


def _backend(settings: CacheSettings, redis_url: str) -> CacheBackend:
    match settings.backend_type:
        case "redis":
            return RedisBackend(redis_url, namespace=settings.namespace, timeout=settings.timeout_seconds)
        case "file":
            return FileBackend(settings.file_path, max_bytes=settings.file_max_bytes)
        case "memory":
            return MemoryBackend(max_bytes=settings.memory_max_bytes)


@contextmanager
def use_cache(cache: Cache) -> Generator[Cache]:
    """Let the decorators use this cache until the block ends; the one of before is back then."""
    use = _Use(cache)
    _in_use.append(use)
    try:
        yield cache
    finally:
        _in_use.remove(use)


def get_cache() -> Cache:
    """The cache in use. A decorated function has no other way to it: it is made before any cache is.

    Raises:
        RuntimeError: the process opened none.
    """
    if not _in_use:
        raise RuntimeError("no cache is open in this process: see use_cache()")
    return _in_use[-1].cache
