"""The two brokers. A message that they lose does no harm: its row is found again in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import urlsplit

from dramatiq import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, ShutdownNotifications, TimeLimit
from dramatiq.middleware.asyncio import AsyncIO
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.infra.jobs.announcements import AnnouncedConsumer, MessageListener, announcing_script
from fastapi_ignite.infra.jobs.broker_outages import ConsumerLogFilter, OutageReportingRedis, broker_log
from fastapi_ignite.infra.jobs.monitored_broker import MonitoredBroker
from fastapi_ignite.infra.jobs.tracing import JobLogging

if TYPE_CHECKING:
    from fastapi_ignite.infra.jobs.rabbitmq import RabbitmqJobBroker

NAMESPACE = "ignite-jobs"
SOCKET_TIMEOUT_SECONDS = 2
RABBITMQ_HEARTBEAT_SECONDS = 10
# Of a million calls, this many look for messages of dead workers. Dramatiq's 1,000 suit consumers that ask more often.
MAINTENANCE_CHANCE = 10_000
DEAD_MESSAGE_MILLISECONDS = 24 * 3_600_000


class RedisJobBroker(MonitoredBroker, RedisBroker):
    """Keeps messages in Redis, under `ignite-jobs:*`, and announces them to the workers."""

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
            namespace=NAMESPACE,
            maintenance_chance=MAINTENANCE_CHANCE,
            dead_message_ttl=DEAD_MESSAGE_MILLISECONDS,
        )
        # channels are the same in every database of a server
        channel = f"{NAMESPACE}:enqueued:{client.get_connection_kwargs().get('db', 0)}"
        dispatch = cast("bytes", self.scripts["dispatch"].script)  # Dramatiq reads its file as bytes
        self.scripts["dispatch"] = client.register_script(announcing_script(dispatch.decode(), channel))
        self._listener = MessageListener(client, channel)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Return a consumer that asks Redis when a message was announced."""
        asking = super().consume(queue_name, prefetch, timeout=0)
        return AnnouncedConsumer(asking, self._listener, queue_name, timeout / 1000)

    def waiting(self, queue: str) -> int:
        """Return how many messages no worker has fetched."""
        return int(self.client.llen(f"{self.namespace}:{queue}"))

    def close(self) -> None:
        """Close the connections, which Dramatiq leaves open."""
        self._listener.stop()
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
