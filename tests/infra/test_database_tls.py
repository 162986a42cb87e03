"""Tests that TLS to PostgreSQL does what its mode says, for every process that connects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastapi_ignite.core.errors import ConfigurationError, UnavailableError
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.db.tls import with_tls
from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine
from support.databases import new_database
from support.tls_proxy import Certificate, certificate, running_tls_proxy


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return the certificate that the server shows, for the host `localhost`."""
    return certificate(tmp_path_factory.mktemp("shown"), "server", host="localhost")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("other"), "other", host="localhost")


@pytest.mark.parametrize(
    ("mode", "believed", "host", "outcome"),
    [
        (None, None, "127.0.0.1", "encrypted"),
        ("prefer", None, "127.0.0.1", "encrypted"),
        ("disable", None, "127.0.0.1", "plain"),
        ("require", None, "127.0.0.1", "encrypted"),
        ("require", "shown", "127.0.0.1", "encrypted"),
        ("require", "other", "127.0.0.1", "refused"),  # like libpq, it checks given authorities
        ("verify-ca", "shown", "127.0.0.1", "encrypted"),
        ("verify-ca", "other", "localhost", "refused"),
        ("verify-ca", "system", "localhost", "refused"),
        ("verify-full", "shown", "localhost", "encrypted"),
        ("verify-full", "shown", "127.0.0.1", "refused"),
        ("verify-full", "other", "localhost", "refused"),
        ("verify-full", None, "localhost", "refused"),
    ],
)
async def test_each_mode(
    addresses: ServiceAddresses,
    shown: Certificate,
    other: Certificate,
    mode: str | None,
    believed: str | None,
    host: str,
    outcome: str,
) -> None:
    authorities = {"shown": str(shown.authority), "other": str(other.authority)}.get(believed or "", believed)
    async with running_tls_proxy(addresses.api_url, shown) as front:
        database = Database(with_tls(addresses.api_url.set(host=host, port=front.port), mode, authorities), pool_size=1)
        try:
            await database.ping()
            reached = "encrypted" if front.encrypted else "plain"
        except OSError:  # an SSLError is an OSError too
            reached = "refused"
        finally:
            await database.close()
    assert reached == outcome
    assert (front.encrypted, front.plain) == (outcome == "encrypted", outcome == "plain")


@pytest.mark.parametrize(("mode", "reached"), [(None, 1), ("prefer", 1), ("require", 0), ("verify-full", 0)])
async def test_a_server_without_tls_is_left_where_tls_is_wanted(
    addresses: ServiceAddresses, mode: str | None, reached: int
) -> None:
    async with running_tls_proxy(addresses.api_url, None) as front:
        database = Database(with_tls(addresses.api_url.set(port=front.port), mode, None), pool_size=1)
        try:
            await database.ping()
        except ConnectionError:
            assert not reached
        finally:
            await database.close()
    assert front.plain == reached


@pytest.fixture
def empty(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a database without a schema."""
    with new_database(addresses) as own:
        yield own


async def test_every_command_goes_the_encrypted_way(
    open_folder: Path, empty: ServiceAddresses, shown: Certificate
) -> None:
    async with running_tls_proxy(empty.owner_url, shown) as front:
        led = replace(empty, owner_url=empty.owner_url.set(host="localhost", port=front.port))
        commands = CommandLine.on_servers(open_folder, led)
        commands.environment |= {"POSTGRES_SSLMODE": "verify-full", "POSTGRES_SSLROOTCERT": str(shown.authority)}
        # `db init` connects as the owner, with Alembic and without; `doctor` connects as the owner and as two logins
        for arguments, connections in ((["db", "init"], 3), (["doctor"], 3)):
            before = front.encrypted
            (await asyncio.to_thread(commands.run, *arguments, RAG_EMBEDDER="none")).succeeded()
            assert front.encrypted >= before + connections, arguments
    assert front.plain == 0


async def test_a_certificate_that_is_not_believed_is_one_line(addresses: ServiceAddresses, shown: Certificate) -> None:
    async with running_tls_proxy(addresses.owner_url, shown) as front:
        elsewhere = with_tls(addresses.owner_url.set(port=front.port), "verify-full", str(shown.authority))
        with pytest.raises(UnavailableError, match=r"^PostgreSQL at 127\.0\.0\.1:.* certificate verify failed"):
            await migrations.current(replace(addresses, owner_url=elsewhere))


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_authorities_that_cannot_be_read_are_one_line(
    addresses: ServiceAddresses, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^POSTGRES_SSLROOTCERT: .*authorities\.pem holds no certificates"):
        Database(with_tls(addresses.api_url, "verify-full", str(file)))
