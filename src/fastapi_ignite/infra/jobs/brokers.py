"""The two brokers. A message that they lose does no harm: its row is found again in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, ShutdownNotifications, TimeLimit
from dramatiq.middleware.asyncio import AsyncIO
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.infra.jobs.broker_outages import ConsumerLogFilter, OutageReportingRedis, broker_log
from fastapi_ignite.infra.jobs.monitored_broker import MonitoredBroker
from fastapi_ignite.infra.jobs.tracing import JobLogging

if TYPE_CHECKING:
    from fastapi_ignite.infra.jobs.rabbitmq import RabbitmqJobBroker

SOCKET_TIMEOUT_SECONDS = 2
RABBITMQ_HEARTBEAT_SECONDS = 10
DEAD_MESSAGE_MILLISECONDS = 24 * 3_600_000


class RedisJobBroker(MonitoredBroker, RedisBroker):
    """Keeps messages in Redis, under `ignite-jobs:*`."""

    def __init__(self, url: str) -> None:
        self.outages = broker_log()
        client = OutageReportingRedis.at(
            url,
            self.outages,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that Redis closed while it was idle
        )
        super().__init__(
            client=client,
            middleware=middleware(self.outages),
            namespace="ignite-jobs",
            dead_message_ttl=DEAD_MESSAGE_MILLISECONDS,
        )

    def waiting(self, queue: str) -> int:
        """Return how many messages no worker has fetched."""
        return int(self.client.llen(f"{self.namespace}:{queue}"))

    def close(self) -> None:
        """Close the connections, which Dramatiq leaves open."""
        self.client.close()

    def reset(self) -> None:
        """Do nothing: the client drops a connection that failed."""

    def keep_alive(self) -> None:
        """Do nothing: the client opens an idle connection again that Redis closed."""


JobBroker: TypeAlias = "RedisJobBroker | RabbitmqJobBroker"


def make_broker(url: str) -> JobBroker:
    """Return a broker on RabbitMQ for `amqp://` and `amqps://`, else on Redis. It connects when it is first used.

    Raises:
        ConfigurationError: the address has options that RabbitMQ's client does not know.
    """
    if urlsplit(url).scheme not in {"amqp", "amqps"}:
        return RedisJobBroker(url)
    from fastapi_ignite.infra.jobs.rabbitmq import RabbitmqJobBroker  # noqa: PLC0415  # pika, for whoever uses it

    return RabbitmqJobBroker(url)


def middleware(outages: OutageLog) -> list[Middleware]:
    """Return the middleware of both brokers.

    There are no retries and no age limit: attempts are counted in the row, and a late message does no harm.
    """
    return [JobLogging(), ConsumerLogFilter(outages), TimeLimit(), ShutdownNotifications(), AsyncIO()]
