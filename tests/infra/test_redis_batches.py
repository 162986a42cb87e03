"""Commands of callers that come at the same time go to Redis in one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.redis_batches import RedisBatches
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.flaky_redis import FlakyRedis
from support.counted_traffic import counted_redis


@pytest.fixture
async def client(addresses: ServiceAddresses) -> AsyncGenerator[Redis]:
    async with Redis.from_url(addresses.redis_url) as client:
        yield client


async def test_each_caller_gets_its_own_answer_or_error(client: Redis) -> None:
    key = f"batches:{new_id()}"
    await client.set(key, "text", ex=60)
    batches = RedisBatches(client)
    commands: list[tuple[str, ...]] = [("ECHO", str(number)) for number in range(200)]
    commands[7] = ("LPUSH", key, "an error of this command alone")
    answers = await asyncio.gather(*(batches.execute(*command) for command in commands), return_exceptions=True)
    assert isinstance(answers.pop(7), ResponseError)
    assert answers == [str(number).encode() for number in range(200) if number != 7]


async def test_two_hundred_callers_are_a_few_messages(addresses: ServiceAddresses) -> None:
    with counted_redis(addresses.redis_url) as (url, traffic):
        async with Redis.from_url(url) as client:
            batches = RedisBatches(client)
            await batches.execute("PING")  # it connects
            traffic.take()
            await asyncio.gather(*(batches.execute("PING") for _ in range(200)))
            assert traffic.take().round_trips <= 5


async def test_a_caller_that_leaves_takes_nothing_from_the_others(client: Redis) -> None:
    batches = RedisBatches(client)
    callers = [asyncio.create_task(batches.execute("ECHO", str(number))) for number in range(10)]
    await asyncio.sleep(0)
    callers[3].cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers.pop(3), asyncio.CancelledError)
    assert answers == [str(number).encode() for number in range(10) if number != 3]


async def test_a_connection_that_breaks_is_an_error_of_all_and_the_next_ones_work(addresses: ServiceAddresses) -> None:
    async with (
        FlakyRedis(addresses.redis_url) as line,
        Redis.from_url(line.url, retry=Retry(NoBackoff(), 0)) as client,
    ):
        batches = RedisBatches(client)
        await line.cut()
        answers = await asyncio.gather(*(batches.execute("PING") for _ in range(5)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [RedisConnectionError] * 5
        await line.restore()
        assert await batches.execute("PING") in {b"PONG", True}


async def test_nobody_waits_behind_a_message_that_everybody_has_given_up(addresses: ServiceAddresses) -> None:
    async with FlakyRedis(addresses.redis_url) as line, Redis.from_url(line.url) as client:
        batches = RedisBatches(client)
        await line.hang()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batches.execute("PING"), 0.2)
        await line.restore()
        assert await asyncio.wait_for(batches.execute("PING"), 20) in {b"PONG", True}


async def test_a_message_without_an_answer_ends_in_the_time_of_a_command(addresses: ServiceAddresses) -> None:
    async with (
        FlakyRedis(addresses.redis_url) as line,
        Redis.from_url(line.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 1)) as client,
    ):
        batches = RedisBatches(client)
        assert await asyncio.wait_for(batches.execute("ECHO", "before"), 20) == b"before"
        await line.hang()
        with pytest.raises(TimeoutError):
            await batches.execute("ECHO", "lost")
        await line.restore()
        answers = [batches.execute("ECHO", str(number)) for number in range(3)]
        assert await asyncio.wait_for(asyncio.gather(*answers), 20) == [b"0", b"1", b"2"]
