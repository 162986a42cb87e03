"""An embeddings server over real HTTP that can answer anything, for what OpenAI's own never does."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.model_sections import EmbeddingSettings

Vector = list[float] | str


def vector_of(text: str, dimensions: int = 8) -> list[float]:
    """Of any length but one; the same for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return [1.0 + digest[position % len(digest)] for position in range(dimensions)]


@dataclass
class EmbeddingServer:
    """`refuses` tells which requests are answered 422, `embed` what the vectors are; `body` replaces the answer."""

    url: str = ""
    model: str = field(default_factory=lambda: f"m-{new_id().hex}")
    embed: Callable[[str], Vector | None] = vector_of
    refuses: Callable[[list[str]], bool] = lambda _: False
    body: bytes | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def settings(self, **changes: Any) -> EmbeddingSettings:
        """Of an application that uses it."""
        known = EmbeddingSettings(
            base_url=f"{self.url}/v1", model=self.model, api_key=SecretStr("k"), query_timeout_seconds=30
        )
        return known.model_copy(update=changes)

    @property
    def texts(self) -> list[str]:
        """All that was asked for, in the order of the requests."""
        return [text for request in self.requests for text in request["input"]]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One answer a connection."""
        try:
            status, body = await self._serve(reader)
            headers = {"Content-Length": str(len(body)), "Connection": "close", **self.headers}
            lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        asked = json.loads(await reader.readexactly(int(fields["content-length"])))
        self.requests.append({"path": head[0].split()[1], **asked})
        self.keys.append(fields.get("authorization", ""))
        if self.status != 200:
            return self.status, b"{}"
        if self.refuses(asked["input"]):
            return 422, b"{}"
        if self.body is not None:
            return 200, self.body
        data = [{"index": index, "embedding": self.embed(text)} for index, text in enumerate(asked["input"])]
        return 200, json.dumps({"object": "list", "data": data[::-1]}).encode()


@asynccontextmanager
async def running_embedding_server() -> AsyncGenerator[EmbeddingServer]:
    """On a free port of this process."""
    scripted = EmbeddingServer()
    server = await asyncio.start_server(scripted.answer, "127.0.0.1", 0, limit=2**24)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield scripted
