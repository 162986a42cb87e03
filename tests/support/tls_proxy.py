"""A proxy that adds TLS to a PostgreSQL built without it, as poolers and hosting providers do."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import struct
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import URL

SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # the protocol's message "SSLRequest"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate; a client that trusts the file `authority` accepts it."""

    authority: Path
    key: Path


def certificate(folder: Path, name: str, *, host: str) -> Certificate:
    """Make a certificate for a host name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    files = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    files.authority.write_bytes(made.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


class TlsProxy:
    """Passes connections on, and counts the encrypted and the unencrypted ones."""

    def __init__(self, server: URL, shown: Certificate | None) -> None:
        self._server = server
        self._context: ssl.SSLContext | None = None
        if shown is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(shown.authority, shown.key)
        self.port = 0
        self.encrypted = 0
        self.plain = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            first = await reader.readexactly(8)
            if first == SSL_REQUEST:
                writer.write(b"S" if self._context else b"N")
                if self._context:
                    await writer.start_tls(self._context)
                first = await reader.readexactly(8)
            upstream_reader, upstream = await asyncio.open_connection(self._server.host, self._server.port)
            if writer.get_extra_info("ssl_object"):
                self.encrypted += 1
            else:
                self.plain += 1
            upstream.write(first)
            with contextlib.closing(upstream):
                passing = [
                    asyncio.create_task(_pass(reader, upstream)),
                    asyncio.create_task(_pass(upstream_reader, writer)),
                ]
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                for task in passing:
                    task.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def running_tls_proxy(server: URL, shown: Certificate | None) -> AsyncGenerator[TlsProxy]:
    """Run the proxy on a free port of 127.0.0.1; without a certificate it refuses TLS, as PostgreSQL then does."""
    proxy = TlsProxy(server, shown)
    listening = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
