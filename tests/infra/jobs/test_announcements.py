"""Tests that workers take messages when they are announced, and find them all the same when they were not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dramatiq
import pytest
from dramatiq.asyncio import get_event_loop_thread
from redis import Redis

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.jobs import JobBroker, announcements, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from infra.embedded_instances import wait_until

RunWorker = Callable[[str], "RunningWorker"]


class RunningWorker:
    """A broker with one queue, whose worker notes the numbers that it was sent."""

    def __init__(self, broker: JobBroker, queue: str) -> None:
        self.broker = broker
        self.seen: list[int] = []
        self._note = dramatiq.actor(broker=broker, queue_name=queue, actor_name=f"note_{queue}")(self._append)

    def _append(self, number: int) -> None:
        self.seen.append(number)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self._note.send(number)

    def wait_for(self, *numbers: int) -> None:
        wait_until(lambda: sorted(self.seen) == sorted(numbers), f"{numbers} were taken")


@contextmanager
def running_worker(url: str) -> Iterator[RunningWorker]:
    broker = make_broker(url)
    made = RunningWorker(broker, f"announced_{new_id().hex}")
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    before = get_event_loop_thread()
    worker.start()
    try:
        yield made
    finally:
        worker.stop()
        broker.close()
        dramatiq.asyncio.set_event_loop_thread(before)


@pytest.fixture
def listening(addresses: ServiceAddresses, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningWorker]:
    """Return a worker that asks for messages once an hour, and that has begun to listen."""
    monkeypatch.setattr(announcements, "POLL_SECONDS", 3600)
    monkeypatch.setattr(announcements, "UNANNOUNCED_POLL_SECONDS", 3600)
    with running_worker(addresses.redis_url) as made:
        made.send(0)
        made.wait_for(0)
        wait_until(lambda: bool(listeners(redis)), "it listens")
        made.seen.clear()
        yield made


def listeners(redis: Redis) -> list[int]:
    """Return the ids of the connections that listen to the announcements of this xdist worker's database."""
    database = redis.get_connection_kwargs()["db"]
    return [int(each["id"]) for each in redis.client_list(_type="pubsub") if int(each["db"]) == database]


def test_an_idle_worker_takes_a_message_that_is_announced(listening: RunningWorker) -> None:
    listening.send(1)
    listening.wait_for(1)


def test_more_messages_than_a_worker_fetches_at_once(listening: RunningWorker) -> None:
    listening.send(*range(20))
    listening.wait_for(*range(20))


def test_messages_sent_while_it_could_not_listen_are_taken_when_it_can(listening: RunningWorker, redis: Redis) -> None:
    for each in listeners(redis):
        redis.client_kill_filter(_id=str(each))
    listening.send(1)
    listening.wait_for(1)
    wait_until(lambda: bool(listeners(redis)), "it listens again")
    listening.send(2)
    listening.wait_for(1, 2)


def test_a_login_that_may_not_announce_sends_its_messages_all_the_same(
    addresses: ServiceAddresses, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "UNANNOUNCED_POLL_SECONDS", 0.2)
    monkeypatch.setattr(announcements, "POLL_SECONDS", 0.2)
    name = f"quiet-{new_id().hex}"
    redis.acl_setuser(name, enabled=True, passwords=["+word"], keys=["*"], categories=["+@all"], channels=[])
    try:
        scheme, _, place = addresses.redis_url.rpartition("//")
        url = f"{scheme}//{name}:word@{place.rpartition('@')[2]}"
        with running_worker(url) as worker:
            worker.send(1, 2)
            worker.wait_for(1, 2)
    finally:
        redis.acl_deluser(name)


def test_an_idle_worker_does_not_ask(listening: RunningWorker) -> None:
    def asks_nothing_for_a_second() -> bool:
        before = dict(listening.broker.last_polls)
        time.sleep(1)
        return listening.broker.last_polls == before

    wait_until(asks_nothing_for_a_second, "it asks for nothing")
    listening.send(1)
    listening.wait_for(1)
