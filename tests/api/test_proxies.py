"""Tests of which proxies the API trusts to name the caller's address."""

from __future__ import annotations

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from support.http_clients import client_for


def with_proxies(settings: Settings, *proxies: str) -> Settings:
    return settings.model_copy(
        update={
            "app": settings.app.model_copy(update={"trusted_proxies": proxies}),
            "rate_limit": settings.rate_limit.model_copy(update={"anonymous_rpm": 2}),
        }
    )


async def statuses(client: httpx2.AsyncClient, *forwarded: str) -> list[int]:
    answers = [await client.get("/plans/", headers={"X-Forwarded-For": address}) for address in forwarded]
    return [answer.status_code for answer in answers]


def address() -> str:
    """Return an address that no other test uses."""
    number = new_id().int
    return f"2001:db8:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::1"


async def test_a_trusted_proxy_names_the_caller(settings: Settings, state: AppState) -> None:
    first, second = address(), address()
    async with client_for(with_proxies(settings, "127.0.0.0/8"), state) as client:
        assert await statuses(client, first, first, first) == [200, 200, 429]
        # the caller wrote `second` itself, before the proxy added `first`: it must not count
        assert await statuses(client, f"{second}, {first}") == [429]
        assert await statuses(client, second) == [200]


@pytest.mark.parametrize(("proxies", "logged"), [(("127.0.0.0/8",), "192.0.2.7"), ((), "127.0.0.1")])
async def test_the_access_line_names_the_caller(
    settings: Settings, state: AppState, caplog: pytest.LogCaptureFixture, proxies: tuple[str, ...], logged: str
) -> None:
    caplog.set_level("INFO", logger="fastapi_ignite.access")
    async with client_for(with_proxies(settings, *proxies), state) as client:
        await statuses(client, "192.0.2.7")
    (line,) = [record.msg for record in caplog.records if record.name == "fastapi_ignite.access"]
    assert isinstance(line, dict)
    assert line["client"] == logged


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/8",)])
async def test_nobody_else_is_believed(settings: Settings, state: AppState, proxies: tuple[str, ...]) -> None:
    async with client_for(with_proxies(settings, *proxies), state) as client:
        assert 429 in await statuses(client, *(address() for _ in range(4)))
