"""Multipart request bodies that tell a test how far they were read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx2

from support.http_clients import TenantClient

BOUNDARY = "----frontier"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
LAST_BOUNDARY = f"--{BOUNDARY}--\r\n".encode()


def file_part(name: str, content: bytes) -> bytes:
    """Return the part of one file in the field `files`."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def field_part(name: str, value: bytes) -> bytes:
    """Return the part of a field that is no file."""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"


class WatchedBody:
    """A request body in pieces that counts how many of them were read."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces or (file_part("guide.txt", b"Some text."), LAST_BOUNDARY)
        self.taken = 0

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield each piece, and count it."""
        for piece in self._pieces:
            self.taken += 1
            yield piece


async def send_body(
    tenant: TenantClient, project: str, body: WatchedBody, headers: dict[str, str] | None = None, **params: object
) -> httpx2.Response:
    """Upload this body to a project."""
    return await tenant.post(
        f"/ingestion/projects/{project}/upload_and_attach",
        content=body.pieces(),
        headers={**HEADERS, **(headers or {})},
        params=params,
    )


async def paused_body(begun: asyncio.Event, go_on: asyncio.Event) -> AsyncGenerator[bytes]:
    """Yield most of a file, tell so, and wait before the end."""
    whole = file_part("a.txt", b"a" * 70_000 + b"the end")
    yield whole[:-20]
    begun.set()
    await go_on.wait()
    yield whole[-20:] + LAST_BOUNDARY
