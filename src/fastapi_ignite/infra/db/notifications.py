"""Receive what other sessions tell by NOTIFY, and know whether this process receives it at all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.core.outages import reason_of
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.db.role_connection import SESSION_ENDED, RoleConnection, connect

TRUST_SECONDS = 1.0
HEARTBEAT_SECONDS = 0.5
ANSWER_SECONDS = 5.0
CLOSE_SECONDS = 1.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
CHECK = "SELECT pg_backend_pid() AS pid, ARRAY(SELECT pg_listening_channels()) AS channels"
FAILURES = (SQLAlchemyError, asyncpg.PostgresError, *SESSION_ENDED, OSError)
log = structlog.get_logger(__name__)


class PooledSessionError(Exception):
    """Another session answers than the one that was opened, so a pooler stands in front of PostgreSQL."""


class NotificationListener:
    """Listens on one channel, with a connection of its own that it opens again when it breaks.

    `on_notice` is called with the payload of each notice. It is called with an empty payload when a connection has
    begun to listen, because notices before it were missed: everything may have changed.
    """

    def __init__(self, url: URL, channel: str, *, application_name: str) -> None:
        self.on_notice: Callable[[str], None] = lambda _payload: None
        self._channel = channel
        self._trusted_until = float("-inf")
        self._outage = OutageLog(
            log,
            away="notices of the database are not received: what they tell is asked every second until they are",
            back="notices of the database are received again",
            channel=channel,
        )
        self._engine = single_use_engine(
            url,
            connect_args={
                "timeout": ANSWER_SECONDS,
                "command_timeout": ANSWER_SECONDS,
                "server_settings": {"application_name": application_name},
                "connection_class": RoleConnection,
                "async_creator_fn": connect,
            },
        )

    def is_receiving(self) -> bool:
        """Tell whether every notice of a transaction that was committed over a second ago has been received."""
        return time.monotonic() < self._trusted_until

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen while the block runs."""
        task = asyncio.create_task(self._run(), name=f"listen to {self._channel}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._engine.dispose()

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._listen()
            except PooledSessionError:
                log.warning(
                    "notices cannot be received through a pooler of connections: what they tell is asked every second",
                    channel=self._channel,
                )
                return
            except FAILURES as error:
                self._outage.failed(error, reason=reason_of(error))
            except Exception:
                log.exception("listening to the database failed")
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _listen(self) -> None:
        connection = await self._connect()
        try:
            await self._check(connection)  # before LISTEN, which would stay on a session of the pooler
            await connection.add_listener(self._channel, self._receive)
            self.on_notice("")
            while True:
                sent_at = time.monotonic()
                if self._channel not in await self._check(connection):
                    raise ConnectionError("the session does not listen any more")
                # notices that were committed before the question arrive before its answer
                self._trusted_until = sent_at + TRUST_SECONDS
                self._outage.answered()
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            self._trusted_until = float("-inf")
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=CLOSE_SECONDS)

    async def _connect(self) -> Any:
        """Open a connection. SQLAlchemy knows what the URL means, and leaves the connection to us."""
        pooled = await self._engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
        return connection

    async def _check(self, connection: Any) -> list[str]:
        """Return the channels that the session listens to.

        Raises:
            PooledSessionError: a session answers that is not the one which was opened. Poolers tell a process id of
                their own when a client connects, so none passes, not even one with a single session.
        """
        row = await connection.fetchrow(CHECK)
        if row["pid"] != connection.get_server_pid():
            raise PooledSessionError
        channels: list[str] = row["channels"]
        return channels

    def _receive(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        self.on_notice(payload)
