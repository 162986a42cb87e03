"""Tests of the limits on connections (size, time and number), with raw sockets against a server process."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.infra.process import raise_descriptor_limit
from support.command_line import free_port

HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING_HELLO = HELLO.replace(b"Host: a", b"Host: a\r\nConnection: close")
EARLY = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
LONGEST_WAIT = 30.0
OpenMany = Callable[[int, str], list[socket.socket]]
SHORT = {
    "SERVER_HEADER_SECONDS": "0.5",
    "SERVER_BODY_SECONDS": "1.5",
    "SERVER_WRITE_SECONDS": "0.5",
}


class Server:
    """Runs the bare application as `cli.py api` runs the whole one."""

    def __init__(self, descriptors: int, **variables: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "bare_application:app", "--port", str(self.port)]
        command += ["--http", "fastapi_ignite.http.server_protocol:BoundedProtocol", "--ws", "none"]
        command += ["--timeout-keep-alive", "1", "--log-level", "warning"]
        path = f"{PROJECT_ROOT / 'src'}{os.pathsep}{Path(__file__).parent}"
        self._process = subprocess.Popen(  # noqa: S603  runs our own code
            command,
            env={**os.environ, "PYTHONPATH": path, **variables},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)),  # noqa: PLW1509  no thread of this process holds a lock that setrlimit needs
        )
        deadline = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError), self.connect():
                return
            time.sleep(0.05)
        raise AssertionError("the server does not listen")

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Open a connection from a client with this address."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST_WAIT, source_address=(source, 0))

    def answer_to(self, *sent: bytes, source: str = "127.0.0.1") -> tuple[int, bytes]:
        """Send these bytes, and return status and body of the first answer. The server must close the connection."""
        with self.connect(source) as connection:
            with contextlib.suppress(ConnectionError):  # the server may close it before everything is sent
                for piece in sent:
                    connection.sendall(piece)
            return answer(connection)

    def noticed(self) -> dict[str, int]:
        """Return what the application recorded."""
        with self.connect("127.0.0.9") as connection:
            connection.sendall(b"GET /noticed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            told: dict[str, int] = json.loads(answer(connection)[1])
            return told

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(LONGEST_WAIT)


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Return the status and the body of everything that arrives until the server closes the connection."""
    received = everything(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def everything(connection: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)


def problem_of(status_and_body: tuple[int, bytes]) -> tuple[int, str]:
    """Return the status and the code of a problem."""
    status, body = status_and_body
    members: dict[str, Any] = json.loads(body)
    assert members["status"] == status
    assert members["type"].endswith(f"#{members['code']}")
    assert members["detail"]
    return status, members["code"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server with short time limits."""
    running = Server(4096, **SHORT, SERVER_MAX_URL_BYTES="2048", SERVER_MAX_HEADER_BYTES="8192")
    yield running
    running.stop()


class TestHead:
    """These tests cover the limits on the request line and the headers."""

    def test_an_ordinary_request_is_answered(self, server: Server) -> None:
        assert server.answer_to(CLOSING_HELLO) == (200, b"hello")

    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (b"GET /hello?" + b"a" * 3000 + b" HTTP/1.1\r\n", (414, "uri_too_long")),
            (b"GET /hello HTTP/1.1\r\n" + b"A: b\r\n" * 101, (431, "headers_too_large")),
            (b"GET /hello HTTP/1.1\r\nA: " + b"b" * 9000 + b"\r\n", (431, "headers_too_large")),
            (b"GET /hello HTTP/1.1\r\n" + b"a" * 9000 + b": b\r\n", (431, "headers_too_large")),
            (b"GET /hello HTTP/1.1\r\n" + (b"A: " + b"b" * 500 + b"\r\n") * 20, (431, "headers_too_large")),
            (b"NO HTTP\r\n", (400, "malformed_request")),
            (b"CONNECT a:1 HTTP/1.1\r\n", (400, "malformed_request")),
            (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", (400, "malformed_request")),
        ],
        ids=["url", "count", "value", "name", "sum", "no http", "connect", "two lengths"],
    )  # fmt: skip
    def test_too_much_of_it_is_refused(self, server: Server, head: bytes, expected: tuple[int, str]) -> None:
        assert problem_of(server.answer_to(head + b"\r\n")) == expected

    @pytest.mark.parametrize(
        "begun",
        [
            b"GET /",
            b"GET /hello HTTP/1.1\r\nA: ",
            b"GET /hello HTTP/1.1\r\n",
            HELLO + b"GET /hello HTTP/1.1\r\nA: ",
            b"POST /headers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: ",
            b"POST /headers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        ],
        ids=["url", "value", "name", "second request", "trailer", "chunk extension"],
    )
    def test_what_has_no_end_is_cut_off(self, server: Server, begun: bytes) -> None:
        """The server closes the connection long before the request has taken much memory or time."""
        sent = 0
        with server.connect() as connection, contextlib.suppress(ConnectionError):
            connection.sendall(begun)
            while sent < 2**27:
                sent += connection.send(b"a" * 2**16)
        assert sent < 2**25  # most of it is in the buffers of the network

    def test_trailers_are_no_headers(self, server: Server) -> None:
        """The application may have used the headers before the trailers arrive."""
        body = b"POST /headers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        status, names = server.answer_to(body, b"1\r\na\r\n0\r\nAuthorization: b\r\n\r\n")
        assert (status, "authorization" in json.loads(names.split(b"\r\n")[0])) == (200, False)

    def test_requests_sent_before_an_answer_are_few(self, server: Server) -> None:
        few = server.answer_to(HELLO * 9 + CLOSING_HELLO)
        assert (few[0], few[1].count(b"hello")) == (200, 10)
        with server.connect() as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO * 100)
            assert b"hello" not in everything(connection)

    def test_an_upgrade_nobody_offers_is_an_ordinary_request(self, server: Server) -> None:
        upgrade = HELLO.replace(b"Host: a", b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c")
        assert server.answer_to(upgrade)[0] == 200


class TestTime:
    """These tests check that the server waits for a caller for a limited time."""

    def test_slow_headers(self, server: Server) -> None:
        assert problem_of(server.answer_to(b"GET /hello HTTP/1.1\r\nA: ")) == (408, "request_timeout")

    def test_headers_that_come_byte_by_byte(self, server: Server) -> None:
        """A new byte does not extend the time limit."""
        with server.connect() as connection, contextlib.suppress(ConnectionError):
            began = time.monotonic()
            for byte in b"GET /hello HTTP/1.1\r\nA: " + b"b" * 1000:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < 60

    @pytest.mark.parametrize(
        ("sent", "after_the_answer"),
        [(b"", b""), (HELLO, b""), (HELLO, b"\r\n"), (EARLY, b"abc")],
        ids=["silent", "answered", "an empty line", "the end of a body"],
    )
    def test_a_silent_connection_is_closed(self, server: Server, sent: bytes, after_the_answer: bytes) -> None:
        with server.connect() as connection:
            connection.sendall(sent)
            if sent:
                assert connection.recv(100).startswith(b"HTTP/1.1 ")
            connection.sendall(after_the_answer)
            assert b"HTTP/1.1" not in everything(connection)

    def test_a_body_that_stops(self, server: Server) -> None:
        begun = b"POST /headers HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"
        assert problem_of(server.answer_to(begun)) == (408, "request_timeout")

    def test_a_slow_body_that_goes_on(self, server: Server) -> None:
        with server.connect() as connection:
            connection.sendall(b"POST /headers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\n")
            for _ in range(6):
                time.sleep(0.3)
                connection.sendall(b"a")
            assert answer(connection)[0] == 200

    def test_a_body_whose_answer_was_sent_ends_too(self, server: Server) -> None:
        with server.connect() as connection:
            connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 401")
            with pytest.raises(ConnectionError):  # noqa: PT012  the network decides which of the sends fails
                for _ in range(600):
                    connection.sendall(b"a")
                    time.sleep(0.1)

    def test_a_connection_is_used_again_after_an_early_answer(self, server: Server) -> None:
        with server.connect() as connection:
            connection.sendall(EARLY)
            assert connection.recv(100).startswith(b"HTTP/1.1 401")
            connection.sendall(b"abc" + HELLO)
            assert b"HTTP/1.1 200" in everything(connection)  # it returns because the server closes the idle connection

    def test_one_who_does_not_read_is_cut_off(self, server: Server) -> None:
        before = server.noticed()["left"]
        with server.connect() as connection:
            connection.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            _wait_until(lambda: server.noticed()["left"] > before)
            assert server.noticed()["blocks"] < 1000


@pytest.mark.parametrize("more", [b"", HELLO], ids=["", "with a request behind it"])
def test_the_application_hears_that_a_caller_left(server: Server, more: bytes) -> None:
    before = server.noticed()["left"]
    with server.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + more)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    _wait_until(lambda: server.noticed()["left"] > before)


@pytest.fixture(scope="module")
def crowded() -> Iterator[Server]:
    """Return a server that may have 1,024 descriptors and that trusts a proxy."""
    running = Server(1024, TRUSTED_PROXIES="127.0.0.7")
    yield running
    running.stop()


@pytest.fixture
def opened(crowded: Server) -> Iterator[OpenMany]:
    """Return a function that opens connections with half a request on each. They are closed after the test."""
    raise_descriptor_limit(8192)
    with contextlib.ExitStack() as stack:

        def open_many(count: int, source: str) -> list[socket.socket]:
            made = [stack.enter_context(crowded.connect(source)) for _ in range(count)]
            for each in made:
                with contextlib.suppress(ConnectionError):
                    each.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n")
            return made

        yield open_many
    for _ in range(3):  # after these requests, the server has noticed that they are closed
        crowded.answer_to(CLOSING_HELLO, source="127.0.0.99")


class TestCounts:
    """These tests cover the number of connections. Other clients have other addresses of the loopback network."""

    def test_half_open_connections_of_one_client_keep_nobody_else_out(self, crowded: Server, opened: OpenMany) -> None:
        """The client opens more connections than the process has descriptors."""
        half_open = opened(1100, "127.0.0.1")
        for number in range(20):
            assert crowded.answer_to(CLOSING_HELLO, source=f"127.0.1.{number + 1}")[0] == 200
        assert problem_of(answer(half_open[-1])) == (503, "too_many_connections")
        half_open[0].sendall(b"Connection: close\r\n\r\n")  # the oldest connections still work
        assert answer(half_open[0]) == (200, b"hello")

    def test_all_clients_together(self, crowded: Server, opened: OpenMany) -> None:
        """Descriptors stay free for the work of each connection, and for refusing the next one."""
        first, *_ = opened(250, "127.0.0.2")
        opened(250, "127.0.0.3")
        assert problem_of(crowded.answer_to(CLOSING_HELLO, source="127.0.0.4")) == (503, "too_many_connections")
        first.sendall(b"\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 200")

    def test_a_trusted_proxy_is_not_one_client(self, crowded: Server, opened: OpenMany) -> None:
        opened(300, "127.0.0.7")
        assert crowded.answer_to(CLOSING_HELLO, source="127.0.0.7")[0] == 200

    def test_closed_connections_count_no_more(self, crowded: Server) -> None:
        with ThreadPoolExecutor(8) as threads:
            statuses = [*threads.map(lambda _: crowded.answer_to(CLOSING_HELLO)[0], range(600))]
        assert set(statuses) == {200}


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)
