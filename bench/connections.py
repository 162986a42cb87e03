"""Measures how long other callers wait while somebody attacks the server below the application.

    python -m bench.connections [--protocol httptools] [--seconds 6]
    python -m bench.connections --rate [--seconds 5]

One API process that may open 1,024 files. The attacker is 127.0.0.1; others, at other addresses of the loopback
network, open a connection twenty times a second and ask for `/health` (or `limits/current`). `--protocol httptools` is
uvicorn's own protocol. `--rate` compares requests a second of both protocols, turn by turn in one run.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from bench.harness import bench_servers
from bench.load_generator import Request, offer_load
from bench.processes import BOUNDED, ApiProcess, make_tenant, running
from bench.rounds import compare

HEALTH = "/api/v1/health"
DESCRIPTORS = 1024
ENDLESS_BYTES = 100_000_000
PATIENCE = 60.0


def message(path: str, *headers: str, method: str = "GET") -> bytes:
    """The bytes of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: bench", *headers, "", ""]).encode()


@dataclass
class Waits:
    """Holds what one caller saw."""

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        longest, middle = max(self.seconds), statistics.median(self.seconds)
        return f"p50 {middle * 1000:.1f} ms, longest {longest * 1000:.0f} ms, {dict(self.outcomes)}"


def probe(port: int, sent: bytes, source: str, seconds: float) -> Waits:
    """New connections, one after the other."""
    waits = Waits()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0)) as connection:
                connection.sendall(sent)
                waits.outcomes[connection.recv(4096)[9:12].decode() or "closed"] += 1
        except OSError as error:
            waits.outcomes[type(error).__name__] += 1
        waits.seconds.append(time.perf_counter() - began)
        time.sleep(0.05)
    return waits


class Attack:
    """Threads that go on until the block ends."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._over = threading.Event()

    @contextlib.contextmanager
    def of(self, act: Callable[[], None], count: int) -> Iterator[None]:
        def repeat() -> None:
            while not self._over.is_set():
                with contextlib.suppress(OSError):
                    act()

        self._over.clear()
        threads = [threading.Thread(target=repeat) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1)
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def endless_header(self) -> None:
        """A hundred megabytes of one header."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
            for _ in range(ENDLESS_BYTES // 2**18):
                connection.sendall(b"a" * 2**18)
                if self._over.is_set():
                    return

    def ask(self, path: str) -> Callable[[], None]:
        """One request after the other on a connection."""

        def act() -> None:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
                while not self._over.is_set():
                    connection.sendall(message(path))
                    _skip_answer(connection)

        return act

    def slow_upload(self, path: str, bearer: str) -> Callable[[], None]:
        """A byte a second of a file that never ends."""

        def act() -> None:
            headers = [bearer, "Content-Type: multipart/form-data; boundary=b", "Content-Length: 1000000"]
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(message(path, *headers, method="POST"))
                connection.sendall(b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n')
                while not self._over.wait(1):
                    connection.sendall(b"a")

        return act


def _skip_answer(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    missing = length - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))


@contextlib.contextmanager
def half_open(port: int, count: int) -> Iterator[None]:
    """Connections with the beginning of a request."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            with contextlib.suppress(OSError):
                connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        yield


@contextlib.contextmanager
def started(data: Path, protocol: str) -> Iterator[ApiProcess]:
    """A process with the descriptors of a plain shell."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, before[1]))
    try:
        process = ApiProcess(data, protocol=protocol, RATE_LIMIT_RPM="1000000000")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    with running([process]):
        process.wait_healthy()
        yield process


def compare_rates(data: Path, seconds: int) -> None:
    """Both protocols in turn, so that a busy minute meets both."""
    rates: dict[str, list[float]] = {"httptools": [], BOUNDED: []}
    with contextlib.ExitStack() as stack:
        processes = {protocol: stack.enter_context(started(data, protocol)) for protocol in rates}
        for _ in range(3):
            for protocol, process in processes.items():
                load = offer_load(Request(process.port, HEALTH).with_expected_body(), seconds)
                rates[protocol].append(load.rate)
    plain, bounded = rates.values()
    print(f"/health, requests a second: {statistics.median(plain):.0f} by uvicorn's own protocol, ", end="")
    print(f"{statistics.median(bounded):.0f} by the bounded one, ratio {compare(bounded, plain)}")


def attack(process: ApiProcess, seconds: float) -> None:
    """Every attack in turn."""
    path, bearer = _upload(process.url)
    port, over = process.port, Attack(process.port)
    limits = message("/api/v1/limits/current", bearer)

    def others(name: str) -> None:
        print(f"{name}: /health {probe(port, message(HEALTH), '127.0.0.2', seconds)}")

    others("quiet")
    print(f"quiet: limits/current {probe(port, limits, '127.0.0.3', seconds)}")
    with over.of(over.slow_upload(path, bearer), 50):
        others("50 slow uploads")
        print(f"50 slow uploads: limits/current {probe(port, limits, '127.0.0.3', seconds)}")
    with over.of(over.ask("/api/openapi.json"), 40):
        others("40 connections that read the document")
    with half_open(port, 1100):
        others("1,100 half-open connections")
    with over.of(over.endless_header, 4):
        others("4 endless headers")


def _upload(url: str) -> tuple[str, str]:
    """The path that a new tenant uploads to, and the header with its bearer."""
    _, headers = make_tenant(url, "hobby")
    made = httpx2.post(f"{url}/ingestion/projects/create", params={"name": "bench"}, headers=headers, timeout=30)
    path = f"/api/v1/ingestion/projects/{made.raise_for_status().json()['id']}/upload_and_attach"
    return path, f"Authorization: {headers['Authorization']}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", default=BOUNDED)
    parser.add_argument("--rate", action="store_true")
    parser.add_argument("--seconds", type=int, default=6)
    chosen = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with bench_servers() as (_, folder):
        if chosen.rate:
            compare_rates(folder / "data", chosen.seconds)
            return
        with started(folder / "data", chosen.protocol) as process:
            attack(process, chosen.seconds)


if __name__ == "__main__":
    main()
