"""An identity provider's key set over real HTTP, which can fail in every way in which a real one fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def elliptic_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def public_entry(key: PrivateKey, key_id: str, **members: Any) -> dict[str, Any]:
    """Return the public key as an entry of a key set."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        entry = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        entry = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    return {**entry, "kid": key_id, **members}


class KeyServer:
    """A server of a key set.

    `keys` are the entries that it lists. `body`, `status` and `location` change the answer, and `go_on` delays it until
    the event is set.
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.status = 200
        self.location: str | None = None
        self.go_on: asyncio.Event | None = None
        self.requests = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            if self.go_on is not None:
                await self.go_on.wait()
            body = self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
            head += f"Location: {self.location}\r\n" if self.location else ""
            writer.write(head.encode() + b"\r\n" + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def key_server() -> AsyncGenerator[KeyServer]:
    """Run a key server on a free port."""
    made = KeyServer()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    try:
        yield made
    finally:
        if made.go_on is not None:
            made.go_on.set()
        server.close()
        await server.wait_closed()
