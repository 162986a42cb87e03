"""Tell all machines through Redis whether any worker is running."""

from __future__ import annotations

from redis.asyncio import Redis

TELL_SECONDS = 10
LIFETIME_SECONDS = 35
_KEY = "heartbeat:worker"


async def announce_worker(redis: Redis) -> None:
    """Announce a worker for 35 seconds. A worker that stops does not remove this, as others may still run.

    Raises:
        RedisError, OSError: Redis does not answer.
    """
    await redis.set(_KEY, 1, ex=LIFETIME_SECONDS)


async def is_worker_present(redis: Redis) -> bool:
    """Tell whether a worker was announced within the last 35 seconds.

    Raises:
        RedisError, OSError: Redis does not answer, so this is unknown.
    """
    return bool(await redis.exists(_KEY))
