"""Limit the number of open connections of a process, and close those whose client is too slow."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Protocol

import structlog

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.http.problems import MEDIA_TYPE, problem_members
from fastapi_ignite.http.rate_limit import client_network
from fastapi_ignite.infra.process import raise_descriptor_limit

SWEEP_SECONDS = 0.5
REPORT_SECONDS = 10.0
REPORTED_CLIENTS = 5
# for the database, Redis, other services, logs and the event loop
RESERVED_DESCRIPTORS = 128
# its socket, and a file that its request may write or read
DESCRIPTORS_PER_CONNECTION = 2
log = structlog.get_logger(__name__)


class MalformedRequestError(IgniteError):
    """The received bytes are not valid HTTP/1.1."""

    status = 400
    code = "malformed_request"
    title = "Malformed request"


class RequestTimeoutError(IgniteError):
    """The request did not arrive in time."""

    status = 408
    code = "request_timeout"
    title = "Request too slow"


class UriTooLongError(IgniteError):
    """The path with its query is longer than allowed."""

    status = 414
    code = "uri_too_long"
    title = "URL too long"


class HeadersTooLargeError(IgniteError):
    """The headers are too many, or together too large."""

    status = 431
    code = "headers_too_large"
    title = "Headers too large"


class TooManyConnectionsError(IgniteError):
    """One client, or all clients together, already have the largest allowed number of connections."""

    status = 503
    code = "too_many_connections"
    title = "Too many connections"


class Connection(Protocol):
    """The table reads and calls these members of a connection."""

    def end_if_overdue(self, now: float) -> None:
        """Close the connection if the client is too slow. `now` is the time of the event loop."""


class ConnectionTable:
    """All connections of one server. It checks them twice a second, and belongs to one event loop."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = settings.server
        self._errors_url = settings.app.errors_url
        self._loop = loop
        self._trusted = [ip_network(proxy, strict=False) for proxy in settings.app.trusted_proxies]
        self._capacity = _capacity(self.limits.max_connections)
        self._open: dict[Connection, str | None] = {}
        self._by_client: Counter[str] = Counter()
        self._sweep_at: float | None = None
        self._refused: Counter[str] = Counter()
        self._refused_clients: dict[str, None] = {}
        self._report_at = 0.0

    def add(self, connection: Connection, host: str | None) -> None:
        """Count a new connection from `host`, or from a Unix socket if it is None.

        Raises:
            TooManyConnectionsError: the connection must be closed. It is not counted.
        """
        client = None if host is None or self._is_trusted(host) else client_network(host)
        if client is not None and self._by_client[client] >= self.limits.max_connections_per_client:
            raise TooManyConnectionsError(
                f"A client may have {self.limits.max_connections_per_client} open connections at most. Close some.",
                headers={"Retry-After": "1"},
            )
        if len(self._open) >= self._capacity:
            raise TooManyConnectionsError(
                "The server has no room for more connections. Try again.", headers={"Retry-After": "1"}
            )
        self._open[connection] = client
        if client is not None:
            self._by_client[client] += 1
        self._sweep_later()

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection. One that was never added is ignored."""
        client = self._open.pop(connection, None)
        if client is not None:
            self._by_client[client] -= 1
            if self._by_client[client] == 0:
                del self._by_client[client]

    def note(self, code: str, host: str | None) -> None:
        """Count a refused or closed connection of `host`, for the next line in the log."""
        self._refused[code] += 1
        if host is not None and len(self._refused_clients) < REPORTED_CLIENTS:
            self._refused_clients[host] = None
        self._sweep_later()

    def answer(self, error: IgniteError) -> Iterator[bytes]:
        """Yield the parts of an HTTP response with the error and `Connection: close`, but without `Date`."""
        members = problem_members(
            errors_url=self._errors_url,
            status=error.status,
            code=error.code,
            title=error.title,
            detail=error.detail,
            request_id=None,
        )
        body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
        yield f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
        for name, value in error.headers.items():
            yield f"{name}: {value}\r\n".encode()
        yield f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        yield body

    def _is_trusted(self, host: str) -> bool:
        address = ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._trusted)

    def _sweep_later(self) -> None:
        if self._sweep_at is None:
            self._sweep_at = self._loop.time() + SWEEP_SECONDS
            self._loop.call_at(self._sweep_at, self._sweep, self._sweep_at)

    def _sweep(self, due: float) -> None:
        self._sweep_at = None
        now = self._loop.time()
        if now - due < SWEEP_SECONDS:  # else the loop was blocked, so it has not read what clients have sent
            for connection in list(self._open):
                connection.end_if_overdue(now)
        if self._refused and now >= self._report_at:
            log.warning("connections refused or closed", clients=[*self._refused_clients], **self._refused)
            self._refused.clear()
            self._refused_clients.clear()
            self._report_at = now + REPORT_SECONDS
        if self._open or self._refused:
            self._sweep_later()


def _capacity(wanted: int) -> int:
    """Return how many connections may be open: as many as there are file descriptors for, at most `wanted`.

    Without a free descriptor the operating system resets a new connection, and no client gets an answer.
    """
    descriptors = raise_descriptor_limit(wanted * DESCRIPTORS_PER_CONNECTION + RESERVED_DESCRIPTORS)
    capacity = max(1, (descriptors - RESERVED_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION)
    if capacity < wanted:
        log.warning(
            "too few open files for SERVER_MAX_CONNECTIONS: raise the hard limit (ulimit -Hn)",
            connections=capacity,
            wanted=wanted,
            descriptors=descriptors,
        )
    return min(capacity, wanted)
