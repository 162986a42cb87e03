"""Proxies in front of PostgreSQL and Redis that count what passes, whatever driver the clients use.

Each has a thread of its own, because some clients wait for the answer in the thread of the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from anyio.from_thread import start_blocking_portal
from sqlalchemy import URL

HEADER = struct.Struct("!cI")
NO_TLS = b"N"


@dataclass(slots=True)
class Traffic:
    """Counts what clients and server have said since `take`.

    A round trip begins when a client speaks after the server did. `statements` are those that PostgreSQL has completed,
    BEGIN and COMMIT included, and `rows` those that it sent.
    """

    round_trips: int = 0
    byte_count: int = 0
    statements: int = 0
    rows: int = 0

    def take(self) -> Traffic:
        """Return what was counted, and count anew."""
        taken = replace(self)
        self.round_trips = self.byte_count = self.statements = self.rows = 0
        return taken


@dataclass(slots=True)
class _Connection:
    """One client's connection, whose messages are counted in the traffic of all."""

    traffic: Traffic
    of_postgres: bool
    _client_spoke_last: bool = False
    _unread: bytearray = field(default_factory=bytearray)

    def sent(self, data: bytes) -> None:
        self.traffic.byte_count += len(data)
        self.traffic.round_trips += not self._client_spoke_last
        self._client_spoke_last = True

    def received(self, data: bytes) -> None:
        self.traffic.byte_count += len(data)
        self._client_spoke_last = False
        if self.of_postgres and data != NO_TLS:
            self._count_messages(data)

    def _count_messages(self, data: bytes) -> None:
        """Format: https://www.postgresql.org/docs/current/protocol-message-formats.html."""
        self._unread += data
        while len(self._unread) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._unread)
            if len(self._unread) <= length:
                return
            self.traffic.statements += kind == b"C"  # CommandComplete
            self.traffic.rows += kind == b"D"  # DataRow
            del self._unread[: length + 1]


@asynccontextmanager
async def _proxy(host: str, port: int, traffic: Traffic, *, of_postgres: bool) -> AsyncGenerator[int]:
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        connection = _Connection(traffic, of_postgres)
        with contextlib.closing(writer), contextlib.suppress(asyncio.CancelledError):
            there_reader, there = await asyncio.open_connection(host, port)
            with contextlib.closing(there):
                await asyncio.gather(
                    _pass_on(reader, there, connection.sent), _pass_on(there_reader, writer, connection.received)
                )

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            count(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@contextmanager
def _running_proxy(host: str, port: int, *, of_postgres: bool) -> Generator[tuple[int, Traffic]]:
    traffic = Traffic()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_proxy(host, port, traffic, of_postgres=of_postgres)) as own_port,
    ):
        yield own_port, traffic


@contextmanager
def counted_postgres(url: URL) -> Generator[tuple[URL, Traffic]]:
    """Yield the address of a proxy in front of this server, and what passes through it."""
    with _running_proxy(url.host or "", url.port or 0, of_postgres=True) as (port, traffic):
        yield url.set(host="127.0.0.1", port=port), traffic


@contextmanager
def counted_redis(url: str) -> Generator[tuple[str, Traffic]]:
    """Yield the address of a proxy in front of this server, and what passes through it."""
    target = urlsplit(url)
    with _running_proxy(target.hostname or "", target.port or 0, of_postgres=False) as (port, traffic):
        user, at, _ = target.netloc.rpartition("@")
        yield urlunsplit(target._replace(netloc=f"{user}{at}127.0.0.1:{port}")), traffic
