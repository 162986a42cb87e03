"""When the threads that fetch messages last did so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from dramatiq import Broker, Consumer, MessageProxy


class WatchedConsumers(Broker):
    """A broker that knows, by queue, when its consumer last asked for a message (`time.monotonic`)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.consumers_moved: dict[str, float] = {}

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """A consumer that lost its broker comes back here every three seconds."""

        def moved() -> None:
            self.consumers_moved[queue_name] = time.monotonic()

        moved()
        return _WatchedConsumer(super().consume(queue_name, prefetch, timeout), moved)


class _WatchedConsumer(Consumer):
    def __init__(self, consumer: Consumer, moved: Callable[[], None]) -> None:
        self._consumer = consumer
        self._moved = moved

    def __next__(self) -> MessageProxy | None:
        self._moved()
        return next(self._consumer)

    def ack(self, message: MessageProxy) -> None:
        self._consumer.ack(message)

    def nack(self, message: MessageProxy) -> None:
        self._consumer.nack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._consumer.close()
