"""Removes what the cache and the rate limiter keep under keys that carry a tenant."""

from __future__ import annotations

from contextlib import aclosing
from uuid import UUID

from redis.asyncio import Redis

from fastapi_ignite.core.sections import CacheSettings
from fastapi_ignite.infra.cache import FileBackend
from fastapi_ignite.infra.ratelimit.limiter import window_key

SCAN_PAGE = 1000
TIMEOUT_SECONDS = 5.0


class TenantKeys:
    """The keys of tenants, in Redis or in the folder of the file cache.

    A cache in the memory of an API process cannot be reached: its entries end with their lifetime, and nobody can read
    those of a tenant that is refused.
    """

    def __init__(self, settings: CacheSettings, *, redis_url: str) -> None:
        self._settings = settings
        self._redis_url = redis_url

    async def remove(self, tenant_id: UUID) -> None:
        """Remove all keys of the tenant. It reads the name of every key once, page by page.

        Raises:
            RedisError, OSError: Redis or the folder is away; call it again later.
        """
        if self._settings.backend_type == "file":
            await self._remove_files(tenant_id)
        redis: Redis = Redis.from_url(
            self._redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            client_name="ignite-worker",
        )
        async with redis:
            namespace = f"{self._settings.namespace}:" if self._settings.namespace else ""
            cursor = 0
            while True:
                cursor, names = await redis.scan(cursor, match=f"{namespace}*{tenant_id}*", count=SCAN_PAGE)
                if names:
                    await redis.unlink(*names)
                if not cursor:
                    break
            await redis.unlink(window_key(f"tenant:{tenant_id}"))

    async def _remove_files(self, tenant_id: UUID) -> None:
        backend = FileBackend(self._settings.file_path, max_bytes=self._settings.file_max_bytes)
        try:
            async with aclosing(backend.scan("")) as pages:  # type: ignore[type-var]  # an async generator
                async for page in pages:
                    await backend.delete([key for key, _ in page if str(tenant_id) in key.split(":")])
        finally:
            await backend.close()
