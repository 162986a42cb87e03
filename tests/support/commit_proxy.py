"""A proxy to PostgreSQL that loses COMMITs: before the server gets them, or after it has carried them out.

The proxy reads the messages of a client without TLS; asyncpg sends COMMIT as the text of a simple query. The messages
are described at https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self

from sqlalchemy import URL

COMMIT = b"COMMIT\0"
PROTOCOL_3 = 196608
HEADER = struct.Struct("!I")


class Loss(Enum):
    """The ways to lose a COMMIT."""

    ANSWER = auto()
    """The server executes the COMMIT, and the connection breaks before the answer."""

    ANSWER_AND_SERVER = auto()
    """The server executes the COMMIT, the connection is cut, and new ones are refused until `restore` is called."""

    SILENCE = auto()
    """The server executes the COMMIT, and the connection stays open without an answer."""

    COMMIT = auto()
    """The connection breaks before the server gets the COMMIT, so the server rolls back."""


@dataclass(slots=True)
class _Connection:
    """One client's connection. While `dropping` is true, its COMMIT was sent and the answer must not be passed on."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    dropping: bool = False


class CommitProxy:
    """A proxy that listens on a free port.

    `commits` counts the COMMITs that came since the last call of `lose`, and `lost` counts those that the proxy lost.
    """

    def __init__(self, target: URL) -> None:
        self._target = target
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._away = False
        self._skip = 0
        self._left = 0
        self._loss = Loss.ANSWER
        self.lost = 0
        self.commits = 0

    def lose(self, loss: Loss = Loss.ANSWER, *, after: int = 0, count: int = 1) -> None:
        """Let `after` COMMITs pass from now on, and then lose `count` of them."""
        self._loss, self._skip, self._left, self.lost, self.commits = loss, after, count, 0, 0

    def restore(self) -> None:
        """Stop losing COMMITs, and accept new connections again."""
        self._left, self._away = 0, False

    def url(self, target: URL | None = None) -> URL:
        """Return the URL of the proxy for its own target, or for another login or database of the same server."""
        return (target or self._target).set(host="127.0.0.1", port=self._port, query={})

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_writer = None
        try:
            if self._away:
                return
            server_reader, server_writer = await asyncio.open_connection(self._target.host, self._target.port)
            connection = _Connection(writer, server_writer)
            forwards = asyncio.create_task(self._forward(reader, connection))
            backwards = asyncio.create_task(self._answer(server_reader, connection))
            await asyncio.wait((forwards, backwards), return_when=asyncio.FIRST_COMPLETED)
            if connection.dropping:
                await backwards  # once the server answers, it has carried the COMMIT out
                if self._loss is Loss.SILENCE:
                    await reader.read()
            for each in (forwards, backwards):
                each.cancel()
            await asyncio.gather(forwards, backwards, return_exceptions=True)
        except (asyncio.CancelledError, OSError):
            pass  # otherwise the callback of asyncio's streams would log it
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            if server_writer:
                server_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """Pass the client's messages on until it disconnects or a COMMIT is lost."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            startup = True
            while True:
                kind = b"" if startup else await reader.readexactly(1)
                head = await reader.readexactly(HEADER.size)
                payload = await reader.readexactly(HEADER.unpack(head)[0] - HEADER.size)
                startup = startup and HEADER.unpack_from(payload)[0] != PROTOCOL_3
                if kind == b"Q" and payload == COMMIT and self._loses():
                    if self._loss is Loss.COMMIT:
                        return
                    connection.dropping = True
                connection.server.write(kind + head + payload)
                await connection.server.drain()
                if connection.dropping:
                    return

    def _loses(self) -> bool:
        self.commits += 1
        if self._left <= 0:
            return False
        if self._skip:
            self._skip -= 1
            return False
        self._left -= 1
        self.lost += 1
        self._away = self._loss is Loss.ANSWER_AND_SERVER
        return True

    async def _answer(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if connection.dropping:
                    return
                connection.client.write(data)
                await connection.client.drain()
