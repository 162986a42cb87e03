"""uvicorn's HTTP/1.1 protocol with bounds on what a connection may send, and on how long it may take.

`cli.py api` serves with it; elsewhere it is `uvicorn --http fastapi_ignite.http.server_protocol:BoundedProtocol`.
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

# requests that a caller may send before it has the answer to the first; each takes memory
MAX_PIPELINED = 16
_tables: WeakKeyDictionary[ServerState, ConnectionTable] = WeakKeyDictionary()


def _table_of(server: ServerState, loop: asyncio.AbstractEventLoop) -> ConnectionTable:
    if server not in _tables:
        _tables[server] = ConnectionTable(get_settings(), loop)
    return _tables[server]


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    The parser keeps an unfinished header to itself and copies it with every piece that arrives. So bytes are counted
    that it has taken without a callback, beside those it has passed on. A count may exceed its limit by what one read
    brings, 256 KiB.
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
        self._header_bytes = 0  # of this request, passed on by the parser
        self._kept_bytes = 0  # kept by the parser since its last callback
        self._in_headers = False
        self._in_body = False
        self._began_at = 0.0  # of the connection, then of the request
        self._heard_at = 0.0  # when the last byte of a body came, or the caller was waited for in vain
        self._answered_at = 0.0
        self._unread_since: float | None = None
        self._answering: RequestResponseCycle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._began_at = self.loop.time()
        try:
            self._table.add(self, self._host)
        except TooManyConnectionsError as error:
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered; uvicorn tells the one that arrived last."""
        self._table.remove(self)
        super().connection_lost(exc)
        if self._answering is not None:
            self._leave(self._answering)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._kept_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # no other protocol is spoken: this request is answered, and the parser takes no further one
            self.cycle.keep_alive = False
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, IgniteError) else MalformedRequestError())
        else:
            if self._header_bytes + self._kept_bytes > self._limits.max_header_bytes:
                self._refuse(self._too_large())
            elif self._is_idle and self.timeout_keep_alive_task is None:
                # an empty line, or the end of a body whose answer had been sent: uvicorn's timer is off since
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    # What the parser found; an exception ends in `data_received`

    def on_message_begin(self) -> None:
        self._header_bytes = self._kept_bytes = 0
        self._in_headers = True
        self._began_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)
        if len(self.url) > self._limits.max_url_bytes:
            raise UriTooLongError(f"The path with its query may have {self._limits.max_url_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if not self._in_headers:
            return  # a trailer: uvicorn would add it to the headers of a request that runs already
        super().on_header(name, value)
        if len(self.headers) > self._limits.max_headers:
            raise HeadersTooLargeError(f"A request may have {self._limits.max_headers} headers.")

    def on_headers_complete(self) -> None:
        self._kept_bytes = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            raise MalformedRequestError("Too many requests were sent before the first was answered.")
        super().on_headers_complete()
        self._in_headers = False
        self._in_body = True
        self._heard_at = self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._kept_bytes = 0
        self._heard_at = self.loop.time()
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

    # Bounds

    def end_if_overdue(self, now: float) -> None:
        """Called by the table twice a second."""
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
            self.transport.close()  # it never said a word; browsers open such connections in advance

    def _end_slow_body(self, now: float) -> None:
        if self.cycle.response_complete:
            # the rest of the body is thrown away, so that the caller can read the answer, but not for ever
            if now - self._answered_at > self._limits.body_seconds:
                self.transport.close()
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._heard_at = now  # the caller waits for us
        elif now - self._heard_at > self._limits.body_seconds:
            self._refuse(RequestTimeoutError(f"No byte of the body came for {self._limits.body_seconds:g} s."))

    def _is_unread(self, now: float) -> bool:
        """Whether some of the answer has waited for the caller too long, with no progress that anybody could see."""
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
            f"Request line and headers together may have {self._limits.max_header_bytes} bytes."
        )

    def _refuse(self, error: IgniteError) -> None:
        """Close the connection, with the error as its last answer where that is this request's turn."""
        self._table.note(error.code, self._host)
        running = self._answering
        if running is None or running.response_complete:
            answerable = True
        else:
            answerable = self._in_body and running is self.cycle and not running.response_started
            self._leave(running)
        if answerable:
            lines = [*self._table.answer(error)]
            date = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
            self.transport.write(b"".join([lines[0], *date, *lines[1:]]))
        self.transport.close()

    @staticmethod
    def _leave(cycle: RequestResponseCycle) -> None:
        if not cycle.response_complete:
            cycle.disconnected = True
        cycle.message_event.set()

    @property
    def _is_idle(self) -> bool:
        """Whether the last request has been answered and no other one has begun."""
        answered = self._answering is not None and self.cycle.response_complete
        return answered and not (self._in_headers or self._in_body)

    @property
    def _host(self) -> str | None:
        return self.client[0] if self.client else None
