"""Attack a server with hostile clients, in a process of their own that only `bench/attacks.py` starts.

    python -m bench.hostile_clients PORT SECONDS TOKEN UPLOAD_PATH

Each kind of client has its own address on the loopback network. The number of clients and the time are limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

HALF_OPEN, ENDLESS_HEADERS, SLOW_UPLOADS = 1100, 4, 50
HEADER_BYTES = 100 * 2**20
BLOCK = b"a" * 65536
# they represent other machines, so they must not take processor time from the server
NICENESS = 15


@dataclass
class Target:
    """The server and the end of the attack, with counts of what became of the connections."""

    port: int
    ends_at: float
    token: str
    path: str
    sent: int = 0
    opened: int = 0
    refused: int = 0

    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    async def connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.opened += 1
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))


Attack = Callable[[Target, str], Awaitable[None]]


async def endless_header(target: Target, address: str) -> None:
    """Send one header of 100 MB, again and again."""
    reader, writer = await target.connect(address)
    try:
        writer.write(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        for _ in range(HEADER_BYTES // len(BLOCK)):
            writer.write(BLOCK)
            await writer.drain()
            target.sent += len(BLOCK)
            if target.is_over() or reader.at_eof():
                return
    finally:
        writer.transport.abort()


async def half_open(target: Target, address: str) -> None:
    """Send the beginning of a request, and stay silent."""
    reader, writer = await target.connect(address)
    try:
        writer.write(b"GET /api/v1/hea")
        await asyncio.wait_for(reader.read(1), max(0.1, target.ends_at - time.monotonic()))
        target.refused += 1
    finally:
        writer.transport.abort()


async def slow_upload(target: Target, address: str) -> None:
    """Send a valid upload, ten bytes at a time."""
    reader, writer = await target.connect(address)
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {target.token}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="files"; filename="slow.txt"\r\n\r\n'
    )
    try:
        writer.write(head.encode())
        while not target.is_over() and not reader.at_eof():
            writer.write(b"0123456789")
            await writer.drain()
            await asyncio.sleep(0.2)
    finally:
        writer.transport.abort()


async def main() -> None:
    os.nice(NICENESS)
    port, seconds, token, path = sys.argv[1:]
    target = Target(int(port), time.monotonic() + float(seconds), token, path)

    async def repeat(attack: Attack, address: str, pause: float) -> None:
        while not target.is_over():
            with contextlib.suppress(OSError, TimeoutError):
                await attack(target, address)
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for number in range(HALF_OPEN):
            group.create_task(repeat(half_open, f"127.0.1.{1 + number % 4}", 1))
        for _ in range(ENDLESS_HEADERS):
            group.create_task(repeat(endless_header, "127.0.2.1", 0.05))
        for number in range(SLOW_UPLOADS):
            group.create_task(repeat(slow_upload, f"127.0.3.{1 + number % 4}", 1))
    print(f"{target.opened} connections opened, {target.sent / 2**20:.0f} MB of headers sent, {target.refused} ended")


if __name__ == "__main__":
    asyncio.run(main())
