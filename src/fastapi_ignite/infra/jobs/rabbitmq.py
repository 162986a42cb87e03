"""The broker on RabbitMQ."""

from __future__ import annotations

import logging
from typing import Any

import pika
from dramatiq import Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.common import xq_name
from pika.exceptions import ChannelClosedByBroker

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.jobs.broker_outages import broker_log
from fastapi_ignite.infra.jobs.brokers import (
    DEAD_MESSAGE_MILLISECONDS,
    RABBITMQ_HEARTBEAT_SECONDS,
    SOCKET_TIMEOUT_SECONDS,
    middleware,
)
from fastapi_ignite.infra.jobs.consumers import WatchedConsumers
from fastapi_ignite.infra.jobs.job import Priority

MAX_DEAD_MESSAGES = 1000


class RabbitmqJobBroker(WatchedConsumers, RabbitmqBroker):
    """Messages in durable queues of RabbitMQ, each confirmed before it counts as sent."""

    def __init__(self, url: str) -> None:
        self.outages = broker_log()
        super().__init__(
            middleware=middleware(self.outages),
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


def _parameters(url: str) -> pika.URLParameters:
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError("DRAMATIQ_RABBITMQ_URL: must be amqp://user:password@host:port/vhost") from None
    parameters.socket_timeout = SOCKET_TIMEOUT_SECONDS
    parameters.stack_timeout = SOCKET_TIMEOUT_SECONDS
    parameters.blocked_connection_timeout = SOCKET_TIMEOUT_SECONDS
    parameters.heartbeat = RABBITMQ_HEARTBEAT_SECONDS
    return parameters
