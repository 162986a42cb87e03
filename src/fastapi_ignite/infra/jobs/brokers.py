"""The two brokers. Both carry hints only: a message they lose is found again in the database."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import pika
from dramatiq import Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import xq_name
from dramatiq.middleware import Middleware, ShutdownNotifications, TimeLimit
from dramatiq.middleware.asyncio import AsyncIO
from pika.exceptions import ChannelClosedByBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.infra.jobs.consumers import WatchedConsumers
from fastapi_ignite.infra.jobs.job import Priority
from fastapi_ignite.infra.jobs.tracing import JobContext
from fastapi_ignite.infra.jobs.watching import QuietConsumers, WatchedRedis, broker_log

SOCKET_TIMEOUT_SECONDS = 2
RABBITMQ_HEARTBEAT_SECONDS = 10
DEAD_MESSAGE_MILLISECONDS = 24 * 3_600_000
MAX_DEAD_MESSAGES = 1000


class RedisJobBroker(WatchedConsumers, RedisBroker):
    """Messages in Redis, under `ignite-jobs:*`."""

    def __init__(self, url: str) -> None:
        self.outages = broker_log()
        client = WatchedRedis.told_to(
            self.outages,
            url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that Redis closed while it was idle
        )
        super().__init__(
            client=client,
            middleware=_middleware(self.outages),
            namespace="ignite-jobs",
            dead_message_ttl=DEAD_MESSAGE_MILLISECONDS,
        )

    def waiting(self, queue: str) -> int:
        """Messages that no worker has fetched."""
        return int(self.client.llen(f"{self.namespace}:{queue}"))

    def close(self) -> None:
        """Dramatiq leaves the connections open."""
        self.client.close()

    def reset(self) -> None:
        """Nothing: the client drops a connection that failed."""

    def keep_alive(self) -> None:
        """Nothing: Redis closes no idle connection that the client would not open again."""


class RabbitmqJobBroker(WatchedConsumers, RabbitmqBroker):
    """Messages in durable queues of RabbitMQ, each confirmed before it counts as sent."""

    def __init__(self, url: str) -> None:
        self.outages = broker_log()
        super().__init__(
            middleware=_middleware(self.outages),
            confirm_delivery=True,
            max_priority=Priority.INTERACTIVE.of_message,
        )
        self.parameters = [_parameters(url)]
        # it reports each lost connection several times, with tracebacks; Dramatiq's and our own line say it once
        logging.getLogger("pika").setLevel(logging.CRITICAL)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Connect, and begin to fetch messages."""
        consumer = super().consume(queue_name, prefetch, timeout)
        self.outages.answered()
        return consumer

    def waiting(self, queue: str) -> int:
        """Messages that no worker has fetched."""
        try:
            return int(self.channel.queue_declare(queue, passive=True).method.message_count)
        except ChannelClosedByBroker:  # nobody has used the queue yet
            del self.channel
            return 0

    def reset(self) -> None:
        """Drop this thread's connection: after a failure nobody knows what state it is in."""
        del self.connection

    def keep_alive(self) -> None:
        """Answer RabbitMQ's heartbeats on this thread's connection."""
        if getattr(self.state, "connection", None) is not None:
            self.connection.process_data_events()

    def _declare_xq_queue(self, queue_name: str) -> Any:
        """Dead messages are for a person to look at; nobody reads them again, so a few of the last day are enough."""
        return self.channel.queue_declare(
            queue=xq_name(queue_name),
            durable=True,
            arguments={"x-message-ttl": DEAD_MESSAGE_MILLISECONDS, "x-max-length": MAX_DEAD_MESSAGES},
        )


JobBroker = RedisJobBroker | RabbitmqJobBroker


def make_broker(url: str) -> JobBroker:
    """RabbitMQ's for `amqp://` and `amqps://`, else Redis's. Connects when it is first used.

    Raises:
        ConfigurationError: the address has options that RabbitMQ's client does not know.
    """
    return RabbitmqJobBroker(url) if urlsplit(url).scheme in {"amqp", "amqps"} else RedisJobBroker(url)


def _parameters(url: str) -> pika.URLParameters:
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError("DRAMATIQ_RABBITMQ_URL: takes amqp://user:password@host:port/vhost") from None
    parameters.socket_timeout = SOCKET_TIMEOUT_SECONDS
    parameters.stack_timeout = SOCKET_TIMEOUT_SECONDS
    parameters.blocked_connection_timeout = SOCKET_TIMEOUT_SECONDS
    parameters.heartbeat = RABBITMQ_HEARTBEAT_SECONDS
    return parameters


def _middleware(outages: OutageLog) -> list[Middleware]:
    """No retries and no age limit: attempts are counted in the row, and a late message does no harm."""
    return [JobContext(), QuietConsumers(outages), TimeLimit(), ShutdownNotifications(), AsyncIO()]
