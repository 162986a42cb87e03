"""Tests that every POST that creates or charges runs once for each key, and can repeat its first answer."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.http import problems
from fastapi_ignite.http.admission import idempotent
from fastapi_ignite.http.deps import SessionDep
from fastapi_ignite.http.middleware import RequestContext
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import store
from fastapi_ignite.main import create_app
from support.both_engines import *  # noqa: F403  fixtures: the operations below run on both engines
from support.both_engines import ENGINES, of_the_local_engine
from support.feature_contracts import contracts
from support.http_clients import TenantClient, WithState
from support.http_contract import operations, problem
from support.tenant_records import rows_of, stored_objects

REPLAY = {"Prefer": "idempotency=replay"}
FILES = [("files", ("guide.txt", b"Grease the bearing once a week."))]
Send = Callable[..., Awaitable[httpx2.Response]]
REPEATABLE = {request.path: request for each in contracts().values() for request in each.repeatable}


@dataclass(frozen=True)
class Sender:
    """Sends a request of each operation, with the key and with the headers of the test."""

    tenant: TenantClient
    key: str
    project: str

    async def subscribe(self, plan: str = "pro", **headers: str) -> httpx2.Response:
        return await self.post("/billing/subscribe", headers, params={"plan_id": plan})

    async def create_project(self, name: str = "One more", **headers: str) -> httpx2.Response:
        return await self.post("/ingestion/projects/create", headers, params={"name": name})

    async def ensure_vector_store(self, note: str = "", **headers: str) -> httpx2.Response:
        path = f"/ingestion/projects/{self.project}/ensure_vector_store"
        return await self.post(path, headers, params={"note": note})

    async def upload(self, name: str = "guide.txt", **headers: str) -> httpx2.Response:
        path = f"/ingestion/projects/{self.project}/upload_and_attach"
        return await self.post(path, headers, params={"wait_seconds": 0}, files=[("files", (name, FILES[0][1][1]))])

    async def ask(self, question: str = "Why?", **headers: str) -> httpx2.Response:
        return await self.post("/query/ask", headers, json={"project_id": self.project, "question": question})

    async def create_tenant(self, name: str = "Acme Co", **headers: str) -> httpx2.Response:
        parameters = {"name": name, "plan_id": "hobby"}
        return await self.tenant.http.post("/tenants/create", params=parameters, headers=self.sent(headers))

    async def post(self, path: str, headers: dict[str, str], **options: Any) -> httpx2.Response:
        return await self.tenant.post(path, headers=self.sent(headers), **options)

    def sent(self, headers: dict[str, str]) -> dict[str, str]:
        return {"Idempotency-Key": self.key, **headers} if self.key else headers

    def operation(self, name: str) -> Send:
        """Return a function that sends the operation. With an argument, it sends another request than without one."""
        if name not in REPEATABLE:
            send: Send = getattr(self, name)
            return send

        async def repeat(other: str = "", **headers: str) -> httpx2.Response:
            return await REPEATABLE[name].send(self.tenant, self.key, other=bool(other), **headers)

        return repeat

    async def follow(self, resource: str) -> httpx2.Response:
        """Read the resource that a problem names."""
        return await self.tenant.get(f"http://ignite.test{resource}")


@pytest.fixture
async def sender(tenant: TenantClient) -> Sender:
    return Sender(tenant, secrets.token_hex(8), await tenant.create_project())


ALL = {
    "subscribe": ("basic", 200),
    "create_project": ("Another", 200),
    "ensure_vector_store": ("changed", 200),
    "upload": ("other.txt", 200),
    "ask": ("Why not?", 200),
    "create_tenant": ("Another Co", 200),
    **{path: ("other", each.status) for path, each in REPEATABLE.items()},
}
AT_AN_ENGINE = {"ensure_vector_store", "upload", "ask"}
EACH = [(name, engine) for name in ALL for engine in (ENGINES if name in AT_AN_ENGINE else ENGINES[:1])]


def test_no_operation_is_forgotten() -> None:
    """Every POST takes a key, except public demos, the search, and what may be repeated, as a cancel.

    Of the operations on a file, those that make a version take one.
    """
    demos = [path for each in contracts().values() for path in each.public]
    project = "/ingestion/projects/{project_id}"
    repeated = (
        f"{project}/files/",
        f"{project}/batches/",
        "/query/messages/{message_id}/feedback",
        "/tenants/current/erase",
    )
    others = (*demos, "/admin", "/query/search", *repeated)
    posts = {each.path for each in operations() if each.method == "POST" and not each.path.startswith(others)}
    keyed = {
        each.path
        for each in operations()
        if any(parameter["name"] == "idempotency-key" for parameter in each.definition.get("parameters", []))
    }
    file = f"{project}/files/{{file_id}}"
    assert keyed == posts | {f"{file}/content", f"{file}/versions/{{number}}/restore"}


@pytest.mark.parametrize(("name", "engine_name"), EACH, indirect=["engine_name"])
class TestEach:
    """These tests cover what every operation with a key must do."""

    async def test_a_duplicate_is_told_where_the_result_is(self, sender: Sender, settings: Settings, name: str) -> None:
        send = sender.operation(name)
        first = await send()
        assert first.status_code == ALL[name][1], first.text
        body = problem(await send(), 409, "idempotency_duplicate")
        if name == "create_tenant":
            token = sign_token(first.json()["tenant_id"], settings)
            owner = replace(sender.tenant, headers={"Authorization": f"Bearer {token}"})
            sender = replace(sender, tenant=owner)
        assert (await sender.follow(body["resource"])).status_code == 200

    async def test_a_duplicate_may_have_the_first_answer(self, sender: Sender, name: str) -> None:
        send = sender.operation(name)
        first = await send(**REPLAY)
        again = await send(**REPLAY)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]

    async def test_another_request_with_the_key_is_refused(self, sender: Sender, name: str) -> None:
        send = sender.operation(name)
        await send()
        for headers in ({}, REPLAY, {}):
            problem(await send(ALL[name][0], **headers), 422, "idempotency_key_reused")

    async def test_of_five_at_once_one_runs(self, sender: Sender, name: str) -> None:
        send = sender.operation(name)
        answers = await asyncio.gather(*(send() for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [ALL[name][1], *[409] * 4]

    async def test_without_a_key_nothing_is_kept(self, sender: Sender, database: Database, name: str) -> None:
        send = replace(sender, key="").operation(name)
        assert [(await send(**REPLAY)).status_code for _ in range(2)] == [ALL[name][1]] * 2
        assert await rows_of(database, sender.tenant.id, "SELECT 1 FROM idempotency_keys") == []


class TestUploads:
    """These tests check that the same files are the same upload, however the multipart body is written."""

    async def test_files_of_a_duplicate_are_dropped(self, sender: Sender, settings: Settings) -> None:
        await asyncio.gather(*(sender.upload() for _ in range(5)))
        assert stored_objects(settings, sender.tenant.id) == [FILES[0][1][1]]
        listed = await sender.tenant.get(f"/ingestion/projects/{sender.project}/files")
        assert len(listed.json()["files"]) == 1

    async def test_one_changed_byte_is_another_upload(self, sender: Sender) -> None:
        path = f"/ingestion/projects/{sender.project}/upload_and_attach?wait_seconds=0"
        await sender.post(path, {}, files=[("files", ("a.txt", b"one")), ("files", ("b.txt", b"two"))])
        for files in (
            [("files", ("a.txt", b"one")), ("files", ("b.txt", b"twO"))],
            [("files", ("a.txt", b"one"))],
            [("files", ("b.txt", b"two")), ("files", ("a.txt", b"one"))],
        ):
            problem(await sender.post(path, {}, files=files), 422, "idempotency_key_reused")

    async def test_a_longer_wait_is_the_same_upload(self, sender: Sender) -> None:
        """A caller that lost the first answer may want to wait for the second."""
        path = f"/ingestion/projects/{sender.project}/upload_and_attach"
        first = await sender.post(path, {}, params={"wait_seconds": 0}, files=FILES)
        for query in ("", "?wait_seconds=1", "?wait%5Fseconds=2"):
            again = await sender.post(path + query, REPLAY, files=FILES)
            assert (again.status_code, again.json()["batch_id"]) == (200, first.json()["batch_id"])
        problem(await sender.post(f"{path}?note=other", {}, files=FILES), 422, "idempotency_key_reused")

    async def test_a_refused_upload_leaves_the_key_free(self, sender: Sender) -> None:
        path = f"/ingestion/projects/{sender.project}/upload_and_attach?wait_seconds=0"
        problem(await sender.post(path, {}, files=[("files", ("a.txt", b""))]), 422, "empty_file")
        assert (await sender.upload()).status_code == 200


@of_the_local_engine  # these tests have no project, so one engine is enough
class TestNewTenants:
    """These tests cover keys without a tenant's token: they belong to the caller's address or to an administrator."""

    async def test_another_address_has_keys_of_its_own(
        self, sender: Sender, settings: Settings, state: AppState
    ) -> None:
        await sender.create_tenant()
        async with calling_from("192.0.2.7", settings, state) as elsewhere:
            other = replace(sender, tenant=replace(sender.tenant, http=elsewhere))
            assert (await other.create_tenant()).status_code == 200

    async def test_the_operator_s_keys_are_the_same_everywhere(
        self, sender: Sender, settings: Settings, state: AppState, admin_key: str
    ) -> None:
        app = settings.app.model_copy(update={"tenant_signup": "admin"})
        closed, admin = settings.model_copy(update={"app": app}), {"Authorization": f"Bearer {admin_key}"}
        statuses = []
        for address in ("192.0.2.8", "192.0.2.9"):
            async with calling_from(address, closed, state) as client:
                own = replace(sender, tenant=replace(sender.tenant, http=client))
                statuses += [(await own.create_tenant(**admin)).status_code, (await own.create_tenant()).status_code]
        assert statuses == [200, 401, 409, 401]

    async def test_an_unknown_plan_leaves_the_key_free(self, sender: Sender) -> None:
        headers = {"Idempotency-Key": sender.key}
        path = "/tenants/create?name=Acme&plan_id="
        problem(await sender.tenant.http.post(f"{path}none", headers=headers), 404, "plan_not_found")
        assert (await sender.tenant.http.post(f"{path}hobby", headers=headers)).status_code == 200

    async def test_no_tenant_is_made_twice(self, sender: Sender, database: Database) -> None:
        name = f"Acme {new_id()}"
        await asyncio.gather(*(sender.create_tenant(name) for _ in range(10)))
        async with database.system() as session:
            connection = await session.connection()
            made = await connection.exec_driver_sql("SELECT count(*) FROM tenants WHERE name = $1", (name,))
        assert made.scalar() == 1


def calling_from(address: str, settings: Settings, state: AppState) -> httpx2.AsyncClient:
    app = WithState(create_app(settings), {**state, "settings": settings})
    transport = httpx2.ASGITransport(app, client=(address, 50_000))
    return httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1")


class TestReplay:
    """These tests cover the header that asks for the first answer, and answers that are not kept."""

    @pytest.mark.parametrize(
        "prefer", ["idempotency=replay", "respond-async, Idempotency = Replay", 'wait=5; x, idempotency="replay"']
    )
    async def test_preferences_come_in_many_forms(self, sender: Sender, prefer: str) -> None:
        await sender.ask()
        assert (await sender.ask(Prefer=prefer)).status_code == 200

    @pytest.mark.parametrize("prefer", ["", "idempotency", "idempotency=reject", "xidempotency=replay"])
    async def test_anything_else_is_refused_as_ever(self, sender: Sender, prefer: str) -> None:
        await sender.ask()
        problem(await sender.ask(Prefer=prefer), 409, "idempotency_duplicate")

    async def test_a_large_answer_is_not_kept(self, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "MAX_RESPONSE_BYTES", 10)
        await sender.ask()
        assert problem(await sender.ask(**REPLAY), 409, "idempotency_duplicate")["resource"]

    async def test_nothing_is_charged_again(self, sender: Sender) -> None:
        await sender.ask()
        for _ in range(3):
            assert (await sender.ask(**REPLAY)).status_code == 200
        assert (await sender.tenant.get("/limits/current")).json()["usage"]["messages_used"] == 1


class Thing(BaseModel):
    id: str
    secret: str


@of_the_local_engine  # the route uses no engine, so one is enough
class TestNewRoute:
    """These tests use a new route that is written as docs/idempotency.md says."""

    @pytest.fixture
    async def api(self, settings: Settings, state: AppState, tenant: TenantClient) -> AsyncGenerator[TenantClient]:
        router = tenant_router("/things", "things")

        @router.post(
            "/{kind}",
            status_code=201,
            openapi_extra=requires(Scope.FILES_WRITE),
            dependencies=[idempotent("/things/{kind}/{id}")],
        )
        async def make(session: SessionDep, kind: str, *, broken: bool = False) -> Thing:
            del session
            if broken:
                raise ZeroDivisionError
            return Thing(id=kind.upper(), secret=secrets.token_hex())

        @router.post(
            "/secret/once",
            openapi_extra=requires(Scope.FILES_WRITE),
            dependencies=[idempotent("/things/{id}", keep_answer=False)],
        )
        async def make_secret() -> Thing:
            return Thing(id="k", secret=secrets.token_hex())

        app = FastAPI()
        problems.install(app, errors_url=settings.app.errors_url)
        app.include_router(router, prefix="/api/v1")
        app.add_middleware(RequestContext)
        transport = httpx2.ASGITransport(WithState(app, {**state, "settings": settings}), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1") as client:
            yield TenantClient(tenant.id, client, tenant.headers)

    async def test_it_runs_once(self, api: TenantClient) -> None:
        key = {"Idempotency-Key": "one"}
        first = await api.post("/things/screw", headers=key)
        assert first.status_code == 201
        assert problem(await api.post("/things/screw", headers=key), 409, "idempotency_duplicate")["resource"] == (
            "/api/v1/things/screw/SCREW"
        )
        again = await api.post("/things/screw", headers={**key, **REPLAY})
        assert (again.status_code, again.content) == (201, first.content)

    async def test_a_failure_leaves_the_key_free(self, api: TenantClient) -> None:
        key = {"Idempotency-Key": "two"}
        answers = [await api.post("/things/nut?broken=true", headers=key) for _ in range(2)]
        assert Counter(answer.status_code for answer in answers) == {500: 2}
        assert (await api.post("/things/nut", headers=key)).status_code == 201

    async def test_a_secret_is_not_kept(self, api: TenantClient, database: Database) -> None:
        key = {"Idempotency-Key": "three"}
        secret = (await api.post("/things/secret/once", headers=key)).json()["secret"]
        problem(await api.post("/things/secret/once", headers={**key, **REPLAY}), 409, "idempotency_duplicate")
        (row,) = await rows_of(database, api.id, "SELECT idempotency_keys::text AS row FROM idempotency_keys")
        assert secret not in row["row"]
        assert secret.encode().hex() not in row["row"]
