"""When the threads that fetch messages last polled their queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from dramatiq import Broker, Consumer, MessageProxy


class MonitoredBroker(Broker):
    """A broker that knows, by queue, when its consumer last asked for a message (`time.monotonic`)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.last_polls: dict[str, float] = {}

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Return a consumer. One that lost its broker is made anew every three seconds."""

        def note_poll() -> None:
            self.last_polls[queue_name] = time.monotonic()

        note_poll()
        return _MonitoredConsumer(super().consume(queue_name, prefetch, timeout), note_poll)


class _MonitoredConsumer(Consumer):
    def __init__(self, consumer: Consumer, note_poll: Callable[[], None]) -> None:
        self._consumer = consumer
        self._note_poll = note_poll

    def __next__(self) -> MessageProxy | None:
        self._note_poll()
        return next(self._consumer)

    def ack(self, message: MessageProxy) -> None:
        self._consumer.ack(message)

    def nack(self, message: MessageProxy) -> None:
        self._consumer.nack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._consumer.close()
