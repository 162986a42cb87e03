"""Announces new messages to waiting workers, so that they need not ask Redis again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import structlog
from dramatiq import Consumer, MessageProxy
from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

# A queue is asked this often all the same, because an announcement may be lost.
POLL_SECONDS = 5.0
UNANNOUNCED_POLL_SECONDS = 1.0
RECONNECT_SECONDS = 1.0
STOP_SECONDS = 0.25
log = structlog.get_logger(__name__)


def announcing_script(dispatch: str, channel: str) -> str:
    """Return Dramatiq's script, which stores messages, with an announcement of each.

    Redis delivers it after the script has ended. A login that may not publish sends messages all the same.
    """
    return f"""
if ARGV[1] == "enqueue" or ARGV[1] == "requeue" then
    redis.pcall("publish", "{channel}", ARGV[3])
end
{dispatch}"""


class MessageListener:
    """Receives the announcements of all queues in a thread of its own, and wakes the consumer of the queue."""

    def __init__(self, client: Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._queues: dict[bytes, threading.Event] = {}
        self._connected = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="job-announcements", daemon=True)

    @property
    def poll_seconds(self) -> float:
        """Return after how many seconds a queue is asked without an announcement."""
        return POLL_SECONDS if self._connected else UNANNOUNCED_POLL_SECONDS

    def announced(self, queue: str) -> threading.Event:
        """Return the event that is set when the queue may hold a message. The first call starts the thread."""
        with self._lock:
            if self._thread.ident is None:
                self._thread.start()
            return self._queues.setdefault(queue.encode(), threading.Event())

    def stop(self) -> None:
        """End the thread, which looks four times a second whether it has to. Its client can then be closed."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call]  # the client's
                    self._receive(subscription)
            except (RedisError, OSError) as error:  # the consumers report that Redis is away
                log.debug("announcements of messages lost", error=type(error).__name__)
            finally:
                self._connected = False
            self._stopped.wait(RECONNECT_SECONDS)

    def _receive(self, subscription: PubSub) -> None:
        subscription.subscribe(self._channel)
        while not self._stopped.is_set():
            message = subscription.get_message(timeout=STOP_SECONDS)
            if message is None:
                continue
            if message["type"] == "subscribe":  # also after a lost connection, on which announcements were missed
                self._connected = True
                self._wake(list(self._queues.values()))
            elif queue := self._queues.get(message["data"]):
                self._wake([queue])

    def _wake(self, queues: Iterable[threading.Event]) -> None:
        for queue in queues:
            queue.set()


class AnnouncedConsumer(Consumer):
    """Asks for messages when one was announced, and else only after `poll_seconds` of the listener.

    `consumer` must not wait when it finds no message. Dramatiq gets None after `idle_seconds` at the latest, because it
    looks then whether it has to pause or to stop.
    """

    def __init__(self, consumer: Consumer, listener: MessageListener, queue: str, idle_seconds: float) -> None:
        self._consumer = consumer
        self._listener = listener
        self._announced = listener.announced(queue)
        self._idle_seconds = idle_seconds
        self._asked: float | None = None

    def __next__(self) -> MessageProxy | None:
        if not self._must_ask() and not self._announced.wait(self._idle_seconds):
            return None
        self._announced.clear()  # before asking, so that what is announced meanwhile is not overlooked
        message = next(self._consumer)
        self._asked = time.monotonic()
        if message is not None:  # more may wait
            self._announced.set()
        return message

    def _must_ask(self) -> bool:
        return self._asked is None or time.monotonic() - self._asked >= self._listener.poll_seconds

    def ack(self, message: MessageProxy) -> None:
        self._consumer.ack(message)
        self._announced.set()  # a consumer fetches nothing while too many of its messages are unfinished

    def nack(self, message: MessageProxy) -> None:
        self._consumer.nack(message)
        self._announced.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._consumer.close()
