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

_in_use: dict[object, Cache] = {}  # by block, since blocks need not end in the order they began


@asynccontextmanager
async def open_cache(settings: CacheSettings, *, redis_url: str) -> AsyncGenerator[Cache]:
    """Use a cache on the backend that the settings name until the block ends."""
    backend: CacheBackend
    match settings.backend_type:
        case "redis":
            backend = RedisBackend(redis_url, namespace=settings.namespace, timeout=settings.timeout_seconds)
        case "file":
            backend = FileBackend(settings.file_path, max_bytes=settings.file_max_bytes)
        case "memory":
            backend = MemoryBackend(max_bytes=settings.memory_max_bytes)
    cache = Cache(
        backend,
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


@contextmanager
def use_cache(cache: Cache) -> Generator[Cache]:
    """Let the decorators use this cache until the block ends; then they use the previous one again."""
    block = object()
    _in_use[block] = cache
    try:
        yield cache
    finally:
        del _in_use[block]


def get_cache() -> Cache:
    """Return the cache in use. A decorated function has no other way to it: it is made before any cache is."""
    if not _in_use:
        raise RuntimeError("no cache is open in this process: see use_cache()")
    return next(reversed(_in_use.values()))
