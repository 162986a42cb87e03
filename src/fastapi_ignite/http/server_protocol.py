"""uvicorn's HTTP/1.1 protocol with limits on what a connection may send, and on how long it may take.

`cli.py api` uses it. With uvicorn itself, pass `uvicorn --http fastapi_ignite.http.server_protocol:BoundedProtocol`.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.http.connection_limits import (
    ConnectionTable,
    HeadersTooLargeError,
    MalformedRequestError,
    RequestTimeoutError,
    TooManyConnectionsError,
    UriTooLongError,
)

# pipelined requests use memory while they wait for the answer to the first
MAX_PIPELINED = 16
_tables: WeakKeyDictionary[ServerState, ConnectionTable] = WeakKeyDictionary()


def _table_of(server: ServerState, loop: asyncio.AbstractEventLoop) -> ConnectionTable:
    if server not in _tables:
        _tables[server] = ConnectionTable(get_settings(), loop)
    return _tables[server]


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    The parser buffers an unfinished header, and copies it with every piece that arrives. So we count the bytes that it
    has buffered as well as those it has passed on. A count may exceed its limit by one read, which is 256 KiB.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._table = _table_of(server_state, self.loop)
        self._limits = self._table.limits
        self._header_bytes = 0  # of this request, as passed on by the parser
        self._kept_bytes = 0  # buffered by the parser since its last callback
        self._in_headers = False
        self._in_body = False
        self._began_at = 0.0  # start of the connection, then of the request
        self._last_byte_at = 0.0  # when the last byte of a body came, or when we last made the client wait
        self._answered_at = 0.0
        self._unread_since: float | None = None
        self._answering: RequestResponseCycle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn declares it so
        super().connection_made(transport)
        self._began_at = self.loop.time()
        try:
            self._table.add(self, self._host)
        except TooManyConnectionsError as error:
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the request that is being answered. uvicorn notifies the one that arrived last."""
        self._table.remove(self)
        super().connection_lost(exc)
        if self._answering is not None:
            self._notify_disconnect(self._answering)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._kept_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # we support no other protocol: this request is answered, and the parser accepts no further one
            self.cycle.keep_alive = False
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, IgniteError) else MalformedRequestError())
        else:
            if self._header_bytes + self._kept_bytes > self._limits.max_header_bytes:
                self._refuse(self._too_large())
            elif self._is_idle and self.timeout_keep_alive_task is None:
                # after an empty line, or a body that ended later than its answer, uvicorn's timer is off
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def shutdown(self) -> None:
        """Tell a stream without an end that the server stops. Other answers are finished."""
        if self._answering is not None:
            self._answering.scope["state"]["server_stops"] = True
        super().shutdown()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    # Callbacks of the parser; `data_received` handles their exceptions

    def on_message_begin(self) -> None:
        self._header_bytes = self._kept_bytes = 0
        self._in_headers = True
        self._began_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)
        if len(self.url) > self._limits.max_url_bytes:
            raise UriTooLongError(f"The path with its query may have at most {self._limits.max_url_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if not self._in_headers:
            return  # a trailer, which uvicorn would add to the headers of a running request
        super().on_header(name, value)
        if len(self.headers) > self._limits.max_headers:
            raise HeadersTooLargeError(f"A request may have at most {self._limits.max_headers} headers.")

    def on_headers_complete(self) -> None:
        self._kept_bytes = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            raise MalformedRequestError("The client sent too many requests before the first one was answered.")
        super().on_headers_complete()
        self._in_headers = False
        self._in_body = True
        self._last_byte_at = self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._kept_bytes = 0
        self._last_byte_at = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._kept_bytes = 0
        self._in_body = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._answered_at = self.loop.time()
        super().on_response_complete()

    # Limits

    def end_if_overdue(self, now: float) -> None:
        """Close the connection if the client is too slow. The table calls this twice a second."""
        if self._is_unread(now):
            self._table.note("answer_not_read", self._host)
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._in_headers:
            if now - self._began_at > self._limits.header_seconds:
                self._refuse(
                    RequestTimeoutError(f"The headers were not complete after {self._limits.header_seconds:g} s.")
                )
        elif self._in_body:
            self._end_slow_body(now)
        elif self._answering is None and now - self._began_at > self._limits.header_seconds:
            self.transport.close()  # it never sent anything; browsers open such connections in advance

    def _end_slow_body(self, now: float) -> None:
        if self.cycle.response_complete:
            # we discard the rest of the body so that the client can read the answer, but not for ever
            if now - self._answered_at > self._limits.body_seconds:
                self.transport.close()
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._last_byte_at = now  # the client waits for us
        elif now - self._last_byte_at > self._limits.body_seconds:
            self._refuse(RequestTimeoutError(f"No byte of the body arrived for {self._limits.body_seconds:g} s."))

    def _is_unread(self, now: float) -> bool:
        """Tell whether the client has read nothing of the answer for too long."""
        if self.transport.get_write_buffer_size() == 0:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        return self._unread_since is not None and now - self._unread_since > self._limits.write_seconds

    def _count(self, byte_count: int) -> None:
        self._kept_bytes = 0
        self._header_bytes += byte_count
        if self._header_bytes > self._limits.max_header_bytes:
            raise self._too_large()

    def _too_large(self) -> HeadersTooLargeError:
        return HeadersTooLargeError(
            f"The request line and the headers together may have at most {self._limits.max_header_bytes} bytes."
        )

    def _refuse(self, error: IgniteError) -> None:
        """Close the connection. Send the error first, unless another answer must come before it."""
        self._table.note(error.code, self._host)
        running = self._answering
        if running is None or running.response_complete:
            answerable = True
        else:
            answerable = self._in_body and running is self.cycle and not running.response_started
            self._notify_disconnect(running)
        if answerable:
            lines = [*self._table.answer(error)]
            date = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
            self.transport.write(b"".join([lines[0], *date, *lines[1:]]))
        self.transport.close()

    @staticmethod
    def _notify_disconnect(cycle: RequestResponseCycle) -> None:
        if not cycle.response_complete:
            cycle.disconnected = True
        cycle.message_event.set()

    @property
    def _is_idle(self) -> bool:
        """Tell whether the last request has been answered and no other one has begun."""
        answered = self._answering is not None and self.cycle.response_complete
        return answered and not (self._in_headers or self._in_body)

    @property
    def _host(self) -> str | None:
        return self.client[0] if self.client else None
