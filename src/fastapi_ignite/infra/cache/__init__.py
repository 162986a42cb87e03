"""Caching of functions and of responses on Redis, files or memory. See docs/caching.md."""

from fastapi_ignite.infra.cache.backend import CacheBackend, CacheUnavailableError
from fastapi_ignite.infra.cache.cache import Cache, CacheStatus
from fastapi_ignite.infra.cache.decorators import cached, invalidate_cache
from fastapi_ignite.infra.cache.file import FileBackend
from fastapi_ignite.infra.cache.keys import tag
from fastapi_ignite.infra.cache.memory import MemoryBackend
from fastapi_ignite.infra.cache.redis import RedisBackend
from fastapi_ignite.infra.cache.responses import NOT_MODIFIED, cached_response, matches_etag
from fastapi_ignite.infra.cache.runtime import get_cache, open_cache, use_cache

__all__ = [
    "NOT_MODIFIED",
    "Cache",
    "CacheBackend",
    "CacheStatus",
    "CacheUnavailableError",
    "FileBackend",
    "MemoryBackend",
    "RedisBackend",
    "cached",
    "cached_response",
    "get_cache",
    "invalidate_cache",
    "matches_etag",
    "open_cache",
    "tag",
    "use_cache",
]
