"""The log must not contain what callers send, but must say who called and how the request ended."""

from __future__ import annotations

import json
import time

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.core.security import TokenVerifier, sign_token
from fastapi_ignite.http.deps import SessionDep
from fastapi_ignite.http.routing import TenantRoute, requires
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import create_app
from support.http_clients import TenantClient, TenantFactory, WithState
from support.tokens import STRONG_SECRET

DOCUMENT = "The heliotrope vault is behind the third bookshelf."
QUESTION = "Is the heliotrope vault behind the third bookshelf, asked the marmoset?"
KEY = "key-of-the-wombat"
PARAMETER = "parameter-of-a-statement"
REQUEST_ID = "asked-with-this-id"


def verbose(settings: Settings, env: str) -> Settings:
    return settings.model_copy(
        update={
            "app": settings.app.model_copy(update={"env": env, "log_level": "DEBUG"}),
            "jwt": settings.jwt.model_copy(update={"secret": SecretStr(STRONG_SECRET)}),
        }
    )


def api_with_a_failing_route(settings: Settings, state: AppState) -> httpx2.AsyncClient:
    async def fail(session: SessionDep) -> None:
        await session.execute(text("SELECT 1 / 0, :value"), {"value": PARAMETER})

    app = create_app(settings)
    app.router.add_api_route(
        "/api/v1/fail", fail, route_class_override=TenantRoute, openapi_extra=requires(Scope.USAGE_READ)
    )
    transport = httpx2.ASGITransport(WithState(app, {**state, "settings": settings, "tokens": TokenVerifier(settings)}))
    return httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1")


async def send_every_kind_of_request(tenant: TenantClient, foreign_token: str) -> None:
    """Make each kind of request once, also refused and failing ones."""
    project = await tenant.create_project()
    assert (await tenant.upload(project, ("vault.txt", DOCUMENT.encode()))).json()["batch_status"] == "completed"
    asked = await tenant.ask(project, QUESTION, headers={"Idempotency-Key": KEY, "X-Request-ID": REQUEST_ID})
    assert asked.json()["answer"] == DOCUMENT
    assert (await tenant.ask(project, QUESTION, headers={"Idempotency-Key": KEY})).status_code == 409
    assert (await tenant.ask(project, QUESTION * 500)).status_code == 422
    found = await tenant.search(project, QUESTION)
    assert [each["text"] for each in found.json()["results"]] == [DOCUMENT]
    assert (await tenant.search(project, QUESTION * 500)).status_code == 422
    assert (await tenant.get(f"/query/messages/{asked.json()['message_id']}")).status_code == 200
    assert (await tenant.get("/limits/current", params={"tenant_id": QUESTION})).status_code == 403
    assert (await tenant.get("/fail")).status_code == 500
    for token in (foreign_token, f"{foreign_token}x"):
        answer = await tenant.http.get("/limits/current", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


@pytest.mark.usefixtures("worker", "restored_logging")
@pytest.mark.parametrize("env", ["production", "development"])
async def test_no_kind_of_request_puts_a_secret_into_the_log(
    engine_settings: Settings,
    state: AppState,
    addresses: ServiceAddresses,
    make_tenant: TenantFactory,
    capsys: pytest.CaptureFixture[str],
    env: str,
) -> None:
    changed = verbose(engine_settings, env)
    tenant_id = (await make_tenant()).id
    token = sign_token(tenant_id, changed, expires_at=int(time.time()) + 600)
    foreign_token = sign_token(tenant_id, engine_settings)
    capsys.readouterr()
    configure_logging(changed)
    async with api_with_a_failing_route(changed, state) as api:
        await send_every_kind_of_request(
            TenantClient(tenant_id, api, {"Authorization": f"Bearer {token}"}), foreign_token
        )
    written = capsys.readouterr().err

    assert "division by zero" in written, "the failure is logged whole"
    said = ("heliotrope", "bookshelf", "marmoset", KEY, PARAMETER, STRONG_SECRET)
    credentials = (token, token.rpartition(".")[2], foreign_token, foreign_token.rpartition(".")[2])
    passwords = (*addresses.login_passwords.values(), str(addresses.owner_url.password), addresses.redis_url)
    assert [value for value in (*said, *credentials, *passwords) if value in written] == []
    if env == "production":
        check_access_lines(written, tenant_id=str(tenant_id))


def check_access_lines(written: str, *, tenant_id: str) -> None:
    events = [json.loads(line) for line in written.splitlines()]
    (asked,) = [event for event in events if event.get("request_id") == REQUEST_ID and event["event"] == "request"]
    asked.pop("timestamp")
    assert asked.pop("milliseconds") > 0
    assert asked == {
        "client": "127.0.0.1",
        "event": "request",
        "level": "info",
        "logger": "fastapi_ignite.access",
        "method": "POST",
        "request_id": REQUEST_ID,
        "route": "/query/ask",
        "status": 200,
        "tenant_id": tenant_id,
    }
    by_status = {event["status"]: event for event in events if event["event"] == "request"}
    assert set(by_status) == {200, 401, 403, 409, 422, 500}
    assert by_status[401]["tenant_id"] is None
    assert by_status[403]["tenant_id"] == by_status[500]["tenant_id"] == tenant_id
    # a worker may log failed jobs that other tests left behind
    failures = [event for event in events if event["level"] == "error" and "job" not in event]
    assert [failure["request_id"] for failure in failures] == [by_status[500]["request_id"]], failures
