"""Send the commands of concurrent callers to Redis in one message."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

Script = Callable[[Sequence[str], Iterable[Any]], Awaitable[Any]]
MOST_COMMANDS = 64  # in one message


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    command: Sequence[Any]
    answer: asyncio.Future[Any]


class RedisBatches:
    """Sends commands that come while others are under way together, in one pipeline.

    Most of the time that redis-py takes for a command is for its connection, and a pipeline needs that once. A caller
    waits for two round trips at most. Each caller gets the answer or the error of its own command. When the connection
    fails, all callers of the message get the error.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Call] = []
        self._under_way: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def execute(self, *command: Any) -> Any:
        """Return the answer of Redis to the command, like `Redis.execute_command`."""
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
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        try:
            answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001  it belongs to the callers
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
