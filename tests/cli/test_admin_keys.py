"""Tests of `cli.py admin-key`, the only way to make an administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from support.command_line import CommandLine
from support.http_clients import client_for
from support.tokens import bearer


@pytest.fixture
async def anonymous(settings: Settings, migrated: ServiceAddresses) -> AsyncIterator[httpx2.AsyncClient]:
    """Return an HTTP client without a token, for an API on the database of these commands."""
    async with open_state(settings, migrated) as state, client_for(settings, state) as client:
        yield client


async def test_a_key_is_made_listed_used_and_revoked(commands: CommandLine, anonymous: httpx2.AsyncClient) -> None:
    key = commands.run("admin-key", "--name", "on-call laptop", "--expires-in-days", "30").succeeded().strip()
    assert key.startswith("ign_admin_")
    assert (await anonymous.get("/admin/tenants", headers=bearer(key))).status_code == 200
    listing = commands.run("admin-key", "list").succeeded()
    (row,) = [line for line in listing.splitlines() if key[-4:] in line]
    assert "on-call" in row
    assert key not in listing
    events = (await anonymous.get("/admin/audit", headers=bearer(key))).json()["events"]
    key_id = next(event["target"] for event in events if event["details"]["name"] == "on-call laptop")
    commands.run("admin-key", "revoke", key_id).succeeded()
    assert (await anonymous.get("/admin/tenants", headers=bearer(key))).status_code == 401


def test_the_key_alone_is_on_standard_output(commands: CommandLine) -> None:
    """A script reads the key with KEY=$(python cli.py admin-key)."""
    assert len(commands.run("admin-key").succeeded().splitlines()) == 1


@pytest.mark.parametrize("options", [("--name", " "), ("--name", "x" * 101), ("--name", "a\tb")])
def test_a_bad_name_is_one_clear_line(commands: CommandLine, options: tuple[str, ...]) -> None:
    assert "printable characters" in commands.run("admin-key", *options).refused_with()


def test_an_unknown_id_is_one_clear_line(commands: CommandLine) -> None:
    unknown = "01932c5d-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
    assert commands.run("admin-key", "revoke", unknown).refused_with() == f"No admin key has the id {unknown}."
