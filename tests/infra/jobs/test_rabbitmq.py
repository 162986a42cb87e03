"""Tests of jobs over a real RabbitMQ server, with a worker in its own process."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path

import pika
import pytest
from redis import Redis

from fastapi_ignite.cli import doctor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.jobs import Job, JobQueue, Priority, make_broker
from fastapi_ignite.infra.jobs.rabbitmq import MAX_DEAD_MESSAGES
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.tasks import backfill_embeddings
from fastapi_ignite.main import open_state
from fastapi_ignite.usage.tasks import roll_up
from support import rabbitmq_server as rabbitmq
from support.command_line import CommandLine, open_folder
from support.http_clients import TenantClient, TenantFactory, client_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(rabbitmq.reason_to_skip() is not None, reason=str(rabbitmq.reason_to_skip())),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with rabbitmq.running_server() as url:
        yield url


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def ingestion_worker(server: str, folder: Path, settings: Settings, addresses: ServiceAddresses) -> Iterator[None]:
    """Run `cli.py worker` with settings from its environment only."""
    commands = CommandLine.on_servers(folder, addresses)
    process = commands.start(
        "worker",
        "--queues",
        "ingestion",
        DRAMATIQ_BROKER="rabbitmq",
        DRAMATIQ_RABBITMQ_URL=server,
        IGNITE_DATA_DIR=str(settings.ignite.data_dir),
    )
    yield
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log


@pytest.fixture
async def tenant(
    make_tenant: TenantFactory, settings: Settings, addresses: ServiceAddresses, server: str
) -> AsyncGenerator[TenantClient]:
    """Return a tenant that calls an API whose jobs go to RabbitMQ."""
    made = await make_tenant()
    async with (
        open_state(settings, replace(addresses, rabbitmq_url=server)) as state,
        client_for(settings, state) as client,
    ):
        yield TenantClient(made.id, client, made.headers)


@pytest.mark.usefixtures("ingestion_worker")
async def test_an_upload_is_ingested_by_a_worker_that_listens_to_one_queue(
    tenant: TenantClient, server: str, addresses: ServiceAddresses, folder: Path
) -> None:
    project = await tenant.create_project()
    upload = await tenant.upload(project, ("guide.txt", b"The orchard keeps nine apple trees."), wait_seconds=60)
    assert upload.json()["batch_status"] == "completed", upload.text
    answer = await tenant.ask(project, "How many apple trees does the orchard keep?")
    assert answer.json()["answerable"] is True
    jobs = JobQueue(make_broker(server))
    # there is one for each ingested file, and files of other tests may wait in the same database
    assert await jobs.backlog(backfill_embeddings), "a worker of another queue took it, or it was never sent"
    jobs.close()
    with Redis.from_url(CommandLine.on_servers(folder, addresses).environment["REDIS_URL"]) as redis:
        assert redis.exists("heartbeat:worker")


async def nothing(*_: object) -> None:
    """Do nothing. No worker runs this job."""


@pytest.fixture
def jobs(server: str) -> Iterator[JobQueue]:
    queue = JobQueue(make_broker(server))
    yield queue
    queue.close()


async def test_the_backlog_counts_what_was_confirmed_and_not_fetched(jobs: JobQueue, server: str) -> None:
    job = Job("test.nothing", f"queue_{new_id().hex}", Priority.BULK, nothing)
    assert await jobs.backlog(job) == 0
    assert all([await jobs.send(job) for _ in range(3)])
    assert await jobs.backlog(job) == 3
    worker = make_broker(server)
    consumer = worker.consume(job.queue, prefetch=2)
    assert next(consumer) is not None
    assert await jobs.backlog(job) == 1
    consumer.close()
    worker.close()


async def test_the_doctor_looks_at_the_queues(jobs: JobQueue, server: str, addresses: ServiceAddresses) -> None:
    led_there = replace(addresses, rabbitmq_url=server)
    await jobs.send(roll_up)
    waiting = doctor._rabbitmq(led_there)
    await jobs.send(roll_up)
    assert int(doctor._rabbitmq(led_there).split()[0]) == int(waiting.split()[0]) + 1
    away = doctor._attempt("rabbitmq", lambda: doctor._rabbitmq(replace(addresses, rabbitmq_url="amqp://127.0.0.1:1")))
    assert away.verdict == "fail"


async def test_interactive_messages_overtake_bulk(jobs: JobQueue, server: str) -> None:
    queue = f"queue_{new_id().hex}"
    order = (Priority.BULK, Priority.BACKGROUND, Priority.INTERACTIVE)
    for priority in order:
        assert await jobs.send(Job(f"test.{priority.name}", queue, priority, nothing))
    worker = make_broker(server)
    consumer = worker.consume(queue, prefetch=1)
    fetched = []
    for _ in order:
        message = next(consumer)
        assert message is not None
        fetched.append(message.actor_name)
        consumer.ack(message)
    assert fetched == ["test.INTERACTIVE", "test.BACKGROUND", "test.BULK"]
    consumer.close()
    worker.close()


async def test_dead_messages_do_not_grow_for_ever(jobs: JobQueue, server: str) -> None:
    job = Job("test.nothing", f"queue_{new_id().hex}", Priority.BULK, nothing)
    assert await jobs.send(job)
    with pika.BlockingConnection(pika.URLParameters(server)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(MAX_DEAD_MESSAGES + 5):
            channel.basic_publish("", f"{job.queue}.XQ", b"dead", mandatory=True)
        assert channel.queue_declare(f"{job.queue}.XQ", passive=True).method.message_count == MAX_DEAD_MESSAGES


async def test_a_connection_that_broke_is_replaced(jobs: JobQueue) -> None:
    job = Job("test.nothing", f"queue_{new_id().hex}", Priority.BULK, nothing)
    assert await jobs.send(job)
    (connection,) = jobs._broker.connections
    connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)
    assert await jobs.send(job)
    assert await jobs.backlog(job) == 2
