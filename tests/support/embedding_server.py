"""An embeddings server over real HTTP that can give any answer, also those that OpenAI's server never gives."""

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
    """Return a vector that depends on the text alone; its length is not normalized to 1."""
    digest = hashlib.sha256(text.encode()).digest()
    return [1.0 + digest[position % len(digest)] for position in range(dimensions)]


@dataclass
class EmbeddingServer:
    """An embeddings server.

    `refuses` decides which requests are answered with 422, `embed` makes the vectors, and `body` replaces the whole
    answer.
    """

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
        """Return the settings of an application that uses this server."""
        known = EmbeddingSettings(
            base_url=f"{self.url}/v1", model=self.model, api_key=SecretStr("k"), query_timeout_seconds=30
        )
        return known.model_copy(update=changes)

    @property
    def texts(self) -> list[str]:
        """Return all texts that clients have asked for, in the order of the requests."""
        return [text for request in self.requests for text in request["input"]]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection."""
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
    """Run a server on a free port, in this process."""
    scripted = EmbeddingServer()
    server = await asyncio.start_server(scripted.answer, "127.0.0.1", 0, limit=2**24)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield scripted
