"""Whether a kind of process is alive somewhere, told through Redis."""

from __future__ import annotations

import threading

import structlog
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

BEAT_SECONDS = 10
LIFETIME_SECONDS = 35
TIMEOUT_SECONDS = 2
log = structlog.get_logger(__name__)


def _key(kind: str) -> str:
    return f"heartbeat:{kind}"


class Heartbeat:
    """Says every ten seconds, from a thread of its own, that this process is alive."""

    def __init__(self, redis_url: str, kind: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
        self._kind = kind
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{kind}", daemon=True)

    def start(self) -> None:
        """The first beat comes at once."""
        self._thread.start()

    def stop(self) -> None:
        """Others of the kind may go on: the key is left to expire."""
        self._stopping.set()
        self._thread.join(TIMEOUT_SECONDS)
        self._redis.close()

    def _beat(self) -> None:
        while True:
            try:
                self._redis.set(_key(self._kind), 1, ex=LIFETIME_SECONDS)
            except (RedisError, OSError) as error:
                log.debug("heartbeat not told", kind=self._kind, error=type(error).__name__)
            if self._stopping.wait(BEAT_SECONDS):
                return


async def is_alive(redis: AsyncRedis, kind: str) -> bool:
    """Whether any process of the kind has beaten within the last 35 seconds.

    Raises:
        RedisError, OSError: Redis does not answer, so nobody knows.
    """
    return bool(await redis.exists(_key(kind)))
