"""Tests that a worker process sends no heartbeats while it cannot work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import pytest
from dramatiq.asyncio import get_event_loop_thread
from redis import Redis

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.heartbeat import PIPE_VARIABLE, HeartbeatPipe
from fastapi_ignite.infra.jobs import JobBroker, heartbeat, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from infra.embedded_instances import wait_until


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeartbeatPipe]:
    made = HeartbeatPipe(tmp_path / "heartbeats")
    monkeypatch.setenv(PIPE_VARIABLE, str(made.path))
    yield made
    made.close()


@pytest.fixture
def broker(pipe: HeartbeatPipe, addresses: ServiceAddresses, redis: Redis) -> Iterator[JobBroker]:
    """Return a broker whose worker runs, with one queue that is always empty."""
    redis.delete("heartbeat:worker")
    made = make_broker(addresses.redis_url)
    made.add_middleware(heartbeat.WorkerHeartbeat(made, addresses.redis_url))
    made.declare_queue(f"empty_{new_id().hex}")
    worker = dramatiq.Worker(made, worker_threads=1, worker_timeout=100)
    before = get_event_loop_thread()
    worker.start()
    yield made
    worker.stop()
    made.close()
    dramatiq.asyncio.set_event_loop_thread(before)
    assert pipe.read()[-1][1] is False, "it says good-bye"
    redis.delete("heartbeat:worker")


def beats(pipe: HeartbeatPipe) -> bool:
    return bool(pipe.read())


def test_it_beats_and_is_announced(pipe: HeartbeatPipe, broker: JobBroker, redis: Redis) -> None:
    wait_until(lambda: beats(pipe), "it beats")
    wait_until(lambda: beats(pipe), "it goes on")
    wait_until(lambda: bool(redis.exists("heartbeat:worker")), "it is announced")
    assert set(broker.last_polls) == {*broker.queues, *broker.delay_queues}


@pytest.mark.usefixtures("broker")
def test_it_does_not_while_the_event_loop_is_blocked(pipe: HeartbeatPipe) -> None:
    wait_until(lambda: beats(pipe), "it beats")
    thread = get_event_loop_thread()
    assert thread
    began, may_end = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        may_end.wait(20)

    thread.loop.call_soon_threadsafe(block)
    assert began.wait(20)
    pipe.read()
    time.sleep(1.5)
    assert pipe.read() == []
    may_end.set()
    wait_until(lambda: beats(pipe), "it beats again")


def test_it_does_not_while_nothing_fetches_messages(
    pipe: HeartbeatPipe, broker: JobBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: beats(pipe), "it beats")
    monkeypatch.setitem(broker.last_polls, "another queue", time.monotonic() - heartbeat.CONSUMER_SECONDS)
    time.sleep(0.2)  # for a heartbeat that was already on its way
    pipe.read()
    time.sleep(1.5)
    assert pipe.read() == []
    del broker.last_polls["another queue"]
    wait_until(lambda: beats(pipe), "it beats again")
