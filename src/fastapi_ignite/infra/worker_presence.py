"""Whether any worker is at work, told through Redis to all machines."""

from __future__ import annotations

from redis.asyncio import Redis

TELL_SECONDS = 10
LIFETIME_SECONDS = 35
_KEY = "heartbeat:worker"


async def announce_worker(redis: Redis) -> None:
    """Good for 35 seconds; others may go on when this one stops, so that nothing takes it back.

    Raises:
        RedisError, OSError: Redis does not answer.
    """
    await redis.set(_KEY, 1, ex=LIFETIME_SECONDS)


async def is_worker_present(redis: Redis) -> bool:
    """Whether a worker was announced within the last 35 seconds.

    Raises:
        RedisError, OSError: Redis does not answer, so nobody knows.
    """
    return bool(await redis.exists(_KEY))
