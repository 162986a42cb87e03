"""Send the commands of concurrent callers to Redis in one message."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

Script = Callable[[Sequence[str], Iterable[Any]], Awaitable[Any]]
MOST_COMMANDS = 64  # in one message


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    command: Sequence[Any]
    answer: asyncio.Future[Any]


class RedisBatches:
    """Sends commands that come while others are under way together, in one message.

    Most of the time that redis-py takes for a command is for its pool, its time limits and its metrics. Here, one
    connection of the pool is kept until the pool is closed, and a message has one time limit. A caller waits for two
    round trips at most, unless more than `MOST_COMMANDS` wait. Each caller gets the answer or the error of its own
    command, without the conversions of `Redis`. When the connection fails, all callers of the message get the error.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connection: AbstractConnection | None = None
        self._seconds: float | None = None  # for a message, as for a command of `Redis`
        self._waiting: list[_Call] = []
        self._under_way: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def execute(self, *command: Any) -> Any:
        """Return the answer of Redis to the command."""
        call = _Call(command, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._start()
        try:
            return await call.answer
        except asyncio.CancelledError:
            if self._sender and call in self._under_way and all(each.answer.done() for each in self._under_way):
                self._sender.cancel()  # nobody waits any more, and Redis may never answer
            raise

    def script(self, source: str) -> Script:
        """Return a function that runs the Lua script with these keys and arguments."""
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()  # as Redis names scripts

        async def run(keys: Sequence[str], arguments: Iterable[Any]) -> Any:
            rest = (len(keys), *keys, *arguments)
            try:
                return await self.execute("EVALSHA", digest, *rest)
            except NoScriptError:  # a server that was started since
                return await self.execute("EVAL", source, *rest)

        return run

    def _start(self) -> None:
        if self._sender is None and self._waiting:
            self._sender = asyncio.create_task(self._send_batches())

    async def _send_batches(self) -> None:
        try:
            while self._waiting:
                self._under_way = [call for call in self._waiting[:MOST_COMMANDS] if not call.answer.done()]
                del self._waiting[:MOST_COMMANDS]
                if self._under_way:
                    await self._send(self._under_way)
        finally:
            for call in self._under_way:
                call.answer.cancel()  # of those that have no answer
            self._under_way = []
            self._sender = None
            self._start()

    async def _send(self, calls: Sequence[_Call]) -> None:
        answers: Sequence[Any]
        try:
            connection = self._connection or await self._take_connection()
            exchange = partial(self._exchange, connection, [call.command for call in calls])
            answers = await connection.retry.call_with_retry(exchange, lambda _: connection.disconnect(nowait=True))
        except Exception as error:  # noqa: BLE001  it belongs to the callers
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)

    async def _take_connection(self) -> AbstractConnection:
        connection: AbstractConnection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]  # redis leaves it so
        self._seconds = connection.socket_timeout
        connection.socket_timeout = None  # it would be a time limit, and a task, for each piece of a message
        self._connection = connection
        return connection

    async def _exchange(self, connection: AbstractConnection, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send the commands, and return the answer or the error of each."""
        try:
            async with asyncio.timeout(self._seconds):
                await connection.send_packed_command(connection.pack_commands(commands))
                return [await _answer(connection) for _ in commands]
        except BaseException:  # an answer may still be on its way, and would be taken for that to the next command
            await connection.disconnect(nowait=True)
            raise


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
