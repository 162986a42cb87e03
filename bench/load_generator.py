"""Sends a server as many requests as it answers, over connections that stay open, without pipelining.

wrk sends them where it is installed (`apt-get install wrk`), and otherwise a loop in this process. Both compare each
answer with what is expected. They run on the cores of this process.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import httpx2

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("check_answers.lua")
MEASURED = re.compile(r"^measured (\d+) answers, (\d+) wrong, (\d+) errors, (\d+) microseconds$", re.MULTILINE)
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_numbers = count(time.time_ns())


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request to a port of this machine, and the body that every answer to it must have.

    With `fresh` each request has a query of its own, so that no cache of responses knows the answer.
    """

    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    body: bytes = b""

    def with_expected_body(self) -> Request:
        """Send the request once, and return a copy of it that expects the body of this answer.

        Raises:
            httpx2.HTTPStatusError: the answer is an error.
        """
        url = f"http://127.0.0.1:{self.port}{self.path}"
        return replace(self, body=httpx2.get(url, headers=dict(self.headers), timeout=30).raise_for_status().content)


class Load(NamedTuple):
    """Holds how many requests a server answered, and in how many seconds."""

    answers: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def offer_load(request: Request, seconds: int, *, connections: int = CONNECTIONS) -> Load:
    """Send requests for so many seconds.

    Raises:
        SystemExit: an answer had another status or body, or a connection failed.
    """
    run = _run_wrk if generator_name() == "wrk" else _run_loop
    answers, wrong, taken = run(request, seconds, connections)
    if wrong:
        raise SystemExit(f"{request.path}: {answers} answers, of which {wrong} were not as expected or did not come")
    return Load(answers, taken)


def send_in_turn(
    port: int,
    messages: Iterator[bytes],
    accepts: Callable[[bytes], bool],
    seconds: float,
    *,
    connections: int = CONNECTIONS,
) -> Load:
    """Send the messages one after another for so many seconds, or until there are no more of them.

    A message is a whole request. `accepts` is called with each whole answer of status 200, status line included.

    Raises:
        SystemExit: an answer had another status or was not accepted, or a connection failed.
    """
    answers, wrong, taken = _send_in_turn(port, messages, accepts, seconds, connections)
    if wrong:
        raise SystemExit(f"port {port}: {answers} answers, of which {wrong} were not as expected or did not come")
    return Load(answers, taken)


def generator_name() -> str:
    """Return `wrk`, or `loop` where it is not installed."""
    return "wrk" if shutil.which("wrk") else "loop"


def _run_wrk(request: Request, seconds: int, connections: int) -> tuple[int, int, float]:
    headers = [part for name, value in request.headers.items() for part in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{request.port}{request.path}"
    unique = str(next(_numbers)) if request.fresh else ""
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", f"-s{SCRIPT}", *headers]
    finished = subprocess.run(  # noqa: S603  our own arguments
        ["wrk", *options, url, "--", request.body, unique],  # noqa: S607  wrk of the PATH
        check=True,
        capture_output=True,
        text=True,
    )
    found = MEASURED.search(finished.stdout)
    if found is None:
        raise SystemExit(f"wrk printed no figures: {finished.stdout}{finished.stderr}")
    answers, wrong, errors, microseconds = map(int, found.groups())
    return answers, wrong + errors, microseconds / 1e6


def _run_loop(request: Request, seconds: int, connections: int) -> tuple[int, int, float]:
    lines = ["Host: 127.0.0.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    unique = next(_numbers)

    def messages() -> Iterator[bytes]:
        for number in count():
            query = f"?n={unique}-{number}" if request.fresh else ""
            yield "\r\n".join([f"GET {request.path}{query} HTTP/1.1", *lines, "", ""]).encode()

    return _send_in_turn(request.port, messages(), lambda answer: _body(answer) == request.body, seconds, connections)


def _send_in_turn(
    port: int, messages: Iterator[bytes], accepts: Callable[[bytes], bool], seconds: float, connections: int
) -> tuple[int, int, float]:
    answers = wrong = waiting = 0
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _, message in zip(range(connections), messages, strict=False):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, (connection, bytearray()))
            connection.sendall(message)
            waiting += 1
        began = time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds and waiting:
            for key, _ in selector.select(1):
                connection, received = key.data
                if not (data := connection.recv(65536)):
                    return answers, wrong + 1, taken
                received += data
                if _body(received) is None:
                    continue
                answers += 1
                wrong += not (received.startswith(b"HTTP/1.1 200 ") and accepts(bytes(received)))
                received.clear()
                if message := next(messages, b""):
                    connection.sendall(message)
                else:
                    waiting -= 1
    return answers, wrong, taken


def _body(received: bytes | bytearray) -> bytes | None:
    """Return the body of a whole answer, or None if some of it has not come yet."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = CONTENT_LENGTH.search(received, 0, end + 2)
    body = bytes(received[end + 4 :])
    return body if length is None or len(body) >= int(length[1]) else None
