"""Tests that every error has the same form, says what to do, and reveals nothing else."""

from __future__ import annotations

import json
import re
import socket
from collections import defaultdict

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.deps import SessionDep
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import create_app
from support.http_clients import TenantClient, WithState, client_for
from support.http_contract import operations, problem
from support.tenant_records import rows_of

JSON = {"Content-Type": "application/json"}
SECRET = "sekret-4711"
NOTHING = "01a20d15-c4c1-761f-90a4-cabc29c4d32d"
ORIGIN = "https://app.example.com"


@pytest.mark.parametrize("path", ["/nothing", "/query/nothing", "/plans/a/b/c", "/../nothing", "/../../nothing"])
async def test_an_unknown_path(client: httpx2.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404, "not_found")


METHODS: dict[str, set[str]] = defaultdict(set)
for _operation in operations():
    METHODS[_operation.path].add(_operation.method)


@pytest.mark.parametrize("path", METHODS)
async def test_a_wrong_method_is_told_all_right_ones(client: httpx2.AsyncClient, path: str) -> None:
    sent = path.replace("{", "").replace("}", "")
    # the path may also be one of another operation, which has a parameter in the place of a name
    right = set().union(*(METHODS[each] for each in METHODS if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), sent)))
    wrong = next(method for method in ("PATCH", "PUT") if method not in right)
    answer = await client.request(wrong, sent)
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) >= METHODS[path]
    assert wrong not in answer.headers["allow"]


@pytest.mark.parametrize(
    "content",
    [b"{", b'{"name": ', b"\xff\xfe{}", b"[" * 50_000, b'{"name": "a"} trailing', b"'name'"],
    ids=["cut", "cut later", "not UTF-8", "too deep", "trailing", "single quotes"],
)
async def test_a_body_that_is_no_json(tenant: TenantClient, content: bytes) -> None:
    problem(await tenant.post("/query/ask", content=content, headers=JSON), 400, "malformed_body")


async def test_a_body_that_is_missing(tenant: TenantClient) -> None:
    problem(await tenant.post("/query/ask", headers=JSON), 422, "validation_error")


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/api-keys", {"json": {"name": {"is": SECRET}}}),
        ("POST", "/api-keys", {"json": {"name": "a", "expires_at": SECRET}}),
        ("POST", "/api-keys", {"json": {"name": SECRET * 50}}),
        ("POST", "/api-keys", {"json": {"name": f"{SECRET}\0"}}),
        ("POST", "/api-keys", {"json": SECRET}),
        ("POST", "/api-keys", {"content": SECRET, "headers": {"Content-Type": "text/plain"}}),
        ("POST", "/api-keys", {"content": f'{{"name": {SECRET}}}', "headers": JSON}),
        ("GET", "/api-keys", {"params": {"limit": SECRET}}),
        ("POST", "/tenants/create", {"params": {"name": "a", "plan_id": "hobby", "billing_cycle": SECRET}}),
        ("POST", "/tenants/create", {"params": {"name": SECRET * 50, "plan_id": "hobby"}}),
        ("POST", "/tenants/create", {"params": {"name": f"{SECRET}\0", "plan_id": "hobby"}}),
        ("POST", "/billing/subscribe", {"params": {"plan_id": "pro", "cycle": SECRET}}),
        ("POST", "/ingestion/projects/create", {"params": {"name": SECRET * 50}}),
        ("GET", f"/ingestion/projects/{SECRET}/files", {}),
        ("GET", f"/ingestion/projects/{NOTHING}/files", {"params": {"after": SECRET}}),
        ("POST", f"/ingestion/projects/{NOTHING}/upload_and_attach", {"params": {"wait_seconds": SECRET}}),
        ("DELETE", f"/ingestion/projects/{NOTHING}/remove_file", {"params": {"openai_file_id": SECRET}}),
        ("POST", "/query/ask", {"json": {"project_id": SECRET, "question": "Why?"}}),
        ("POST", "/query/ask", {"json": {"project_id": NOTHING, "question": SECRET * 1000}}),
        ("GET", f"/query/messages/{SECRET}", {}),
    ],
)
async def test_a_refused_value_is_never_repeated(
    tenant: TenantClient, method: str, path: str, options: dict[str, object]
) -> None:
    headers = {**tenant.headers, **options.pop("headers", {})}  # type: ignore[dict-item]  # these headers are a dictionary
    answer = await tenant.http.request(method, path, headers=headers, **options)  # type: ignore[arg-type]  # as above
    assert answer.status_code in (400, 422), answer.text
    body = problem(answer, answer.status_code, answer.json()["code"])
    assert SECRET not in json.dumps(body)
    assert SECRET not in str(answer.headers)


async def test_a_wrong_field_is_found_by_its_place(tenant: TenantClient) -> None:
    body = problem(await tenant.post("/api-keys", json={"name": " ", "expires_at": "perhaps"}), 422, "validation_error")
    assert [error["loc"] for error in body["errors"]] == [["body", "name"], ["body", "expires_at"]]
    assert all(set(error) == {"loc", "msg", "type"} for error in body["errors"])
    assert body["detail"].startswith("body.name: ")


@pytest.mark.parametrize("values", [("false", "true"), ("true", "false"), ("false", "")])
async def test_a_parameter_that_says_two_things_does_nothing(
    tenant: TenantClient, client: httpx2.AsyncClient, values: tuple[str, str]
) -> None:
    """A proxy may have checked one value while we would use the other."""
    project = await tenant.create_project()
    twice = [("delete_raw", value) for value in values]
    answer = await tenant.delete(
        f"/ingestion/projects/{project}/remove_file", params=[("openai_file_id", NOTHING), *twice]
    )
    assert problem(answer, 422, "validation_error")["errors"] == [
        {"loc": ["query", "delete_raw"], "msg": "Sent several times with different values", "type": "repeated"}
    ]
    public = await client.post("/tenants/create", params=[("name", "a"), ("name", "b"), ("plan_id", "hobby")])
    problem(public, 422, "validation_error")


class TestAnUnexpectedException:
    """These tests check that the answer shows only a request id, and has the headers of every other answer."""

    @staticmethod
    def failing_api(settings: Settings, state: AppState) -> httpx2.AsyncClient:
        cors = settings.cors.model_copy(update={"origins": (ORIGIN,)})
        changed = settings.model_copy(update={"cors": cors})
        app = create_app(changed)

        @app.get("/api/v1/fail")
        async def fail() -> None:
            raise RuntimeError(SECRET)

        @app.get("/api/v1/fail/in-sql")
        async def fail_in_sql(session: SessionDep) -> None:
            await session.execute(text("SELECT 1 / 0, :value"), {"value": SECRET})

        transport = httpx2.ASGITransport(WithState(app, {**state, "settings": changed}))
        return httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1")

    @pytest.mark.parametrize("path", ["/fail", "/fail/in-sql"])
    async def test_it_tells_nothing(self, settings: Settings, state: AppState, path: str) -> None:
        async with self.failing_api(settings, state) as api:
            answer = await api.get(path)
        body = problem(answer, 500, "internal_error")
        assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
        for hint in (SECRET, "Traceback", "RuntimeError", "SELECT", "sqlalche", ".py"):
            assert hint not in answer.text

    async def test_a_browser_of_another_origin_can_read_it(self, settings: Settings, state: AppState) -> None:
        async with self.failing_api(settings, state) as api:
            answer = await api.get("/fail", headers={"Origin": ORIGIN, "X-Request-ID": "abc"})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["x-request-id"] == problem(answer, 500, "internal_error")["request_id"] == "abc"


async def test_a_database_that_is_away_is_unavailable(
    settings: Settings, state: AppState, tenant: TenantClient, addresses: ServiceAddresses
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        away = Database(addresses.api_url.set(host="127.0.0.1", port=bound.getsockname()[1]))
        async with client_for(settings, {**state, "database": away}) as api:
            answer = await api.get("/limits/current", headers=tenant.headers)
        await away.close()
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_restarted_database_costs_no_request(
    settings: Settings, state: AppState, tenant: TenantClient, addresses: ServiceAddresses
) -> None:
    pooled, owner = Database(addresses.api_url, pool_size=1), Database(addresses.owner_url, pool_size=1)
    async with client_for(settings, {**state, "database": pooled}) as api:
        assert (await api.get("/limits/current", headers=tenant.headers)).status_code == 200
        (row,) = await rows_of(pooled, tenant.id, "SELECT pg_backend_pid() AS pid")
        async with owner.engine.connect() as connection:
            # waits until the server process has ended, as after a restart
            await connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": row["pid"]})
        answer = await api.get("/limits/current", headers=tenant.headers)
    await pooled.close()
    await owner.close()
    assert answer.status_code == 200
