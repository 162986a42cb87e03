"""Tests that a key runs one request, whoever else sends it and whatever fails in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import make_url, text
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import IgniteError, UnavailableError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra import tasks as infra_tasks
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database
from fastapi_ignite.infra.idempotency import (
    Claim,
    IdempotencyConflictError,
    IdempotencyOutcomeUnknownError,
    IdempotencyStore,
    IdempotentWork,
)
from fastapi_ignite.infra.idempotency.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from fastapi_ignite.infra.idempotency.store import LEASE, remove_expired
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import create_app
from fastapi_ignite.rag.engines import build_engines
from support.http_clients import TenantClient, TenantFactory, WithState, client_for
from support.http_contract import problem
from support.tenant_records import counter, make_plan, rows_of, waits_for_a_lock

WINDOW = timedelta(minutes=30)
SECOND = timedelta(seconds=1)
RESOURCE = "/api/v1/things/1"


class MovedClock:
    """Moves the clock of the program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = timedelta()
        real = clock.now
        monkeypatch.setattr(clock, "now", lambda: real() + self._ahead)

    def forward(self, by: timedelta) -> None:
        self._ahead += by


@pytest.fixture
def moved_clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    return MovedClock(monkeypatch)


class Keys:
    """Claims, completes and releases the keys of one tenant. Each call is a transaction that commits."""

    def __init__(self, database: Database, tenant_id: UUID | None = None) -> None:
        self._database = database
        self.tenant_id = tenant_id or new_id()

    def ask(self, *, key: str = "key", route: str = "POST /things", request: bytes = b"body") -> Claim:
        return Claim.of(tenant_id=self.tenant_id, route=route, key=key, request=request)

    async def claim(self, claim: Claim | None = None) -> Claim:
        claim = claim or self.ask()
        async with self._database.tenant(self.tenant_id) as session:
            await IdempotencyStore(session).claim(claim)
        return claim

    async def complete(self, claim: Claim, resource: str = RESOURCE) -> None:
        async with self._database.tenant(self.tenant_id) as session:
            await IdempotencyStore(session).complete(claim, resource=resource)

    async def release(self, claim: Claim) -> None:
        async with self._database.tenant(self.tenant_id) as session:
            await IdempotencyStore(session).release(claim)

    async def refusal(self, claim: Claim | None = None) -> IgniteError:
        with pytest.raises(IgniteError) as caught:
            await self.claim(claim)
        return caught.value


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


class TestTheStore:
    """These tests cover the rows in which the keys are stored."""

    async def test_a_second_claim_is_told_of_the_first(self, keys: Keys) -> None:
        first = await keys.claim()
        running = await keys.refusal()
        assert type(running) is IdempotencyInProgressError
        assert (running.status, running.headers) == (409, {"Retry-After": "1"})
        await keys.complete(first)
        done = await keys.refusal()
        assert type(done) is IdempotencyConflictError
        assert (done.status, done.extra["resource"]) == (409, RESOURCE)
        assert 1700 < done.extra["retry_after_seconds"] <= 1800

    async def test_another_request_with_the_key_is_refused(self, keys: Keys) -> None:
        first = await keys.claim()
        other = keys.ask(request=b"another body")
        assert type(await keys.refusal(other)) is IdempotencyKeyReusedError
        await keys.complete(first)
        assert type(await keys.refusal(other)) is IdempotencyKeyReusedError

    async def test_a_released_key_is_free_for_any_request(self, keys: Keys) -> None:
        await keys.release(await keys.claim())
        await keys.claim(keys.ask(request=b"another body"))

    async def test_a_completed_key_is_not_released(self, keys: Keys) -> None:
        """An owner may release its key because its connection broke before it learnt that its COMMIT had succeeded."""
        claim = await keys.claim()
        await keys.complete(claim)
        await keys.release(claim)
        assert (await keys.refusal()).extra["resource"] == RESOURCE

    async def test_a_transaction_that_fails_leaves_the_key_free(self, keys: Keys, database: Database) -> None:
        async def fail_after_the_claim() -> None:
            async with database.tenant(keys.tenant_id) as session:
                await IdempotencyStore(session).claim(keys.ask())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail_after_the_claim()
        await keys.claim()

    async def test_of_twenty_at_once_one_wins(self, keys: Keys) -> None:
        outcomes = await asyncio.gather(*(keys.claim() for _ in range(20)), return_exceptions=True)
        assert Counter(type(outcome) for outcome in outcomes) == {Claim: 1, IdempotencyInProgressError: 19}

    async def test_the_window_is_thirty_minutes(self, keys: Keys, moved_clock: MovedClock) -> None:
        await keys.complete(await keys.claim())
        moved_clock.forward(WINDOW - 10 * SECOND)
        assert type(await keys.refusal()) is IdempotencyConflictError
        moved_clock.forward(11 * SECOND)
        await keys.claim(keys.ask(request=b"another body"))

    async def test_the_key_of_a_dead_owner_can_be_taken_over(self, keys: Keys, moved_clock: MovedClock) -> None:
        dead = await keys.claim()
        moved_clock.forward(LEASE - 10 * SECOND)
        assert type(await keys.refusal()) is IdempotencyInProgressError
        moved_clock.forward(11 * SECOND)
        new_owner = await keys.claim()
        with pytest.raises(IdempotencyInProgressError):
            await keys.complete(dead, "/api/v1/things/of-the-dead")
        await keys.release(dead)
        assert type(await keys.refusal()) is IdempotencyInProgressError
        await keys.complete(new_owner)
        assert (await keys.refusal()).extra["resource"] == RESOURCE

    async def test_a_finished_request_keeps_its_key_beyond_the_lease(self, keys: Keys, moved_clock: MovedClock) -> None:
        await keys.complete(await keys.claim())
        moved_clock.forward(LEASE * 2)
        assert type(await keys.refusal()) is IdempotencyConflictError

    async def test_the_scope_is_tenant_and_route(self, keys: Keys, database: Database) -> None:
        await keys.complete(await keys.claim())
        await keys.claim(keys.ask(route="POST /others"))
        await keys.claim(keys.ask(key="Key"))
        await Keys(database).claim()

    async def test_the_key_itself_is_not_stored(self, keys: Keys, database: Database) -> None:
        await keys.claim(keys.ask(key="credit-card-4711", request=b"what-was-asked"))
        (row,) = await rows_of(database, keys.tenant_id, "SELECT idempotency_keys::text AS row FROM idempotency_keys")
        for value in ("credit-card-4711", "what-was-asked"):
            assert value not in row["row"]
            assert value.encode().hex() not in row["row"]

    async def test_only_expired_keys_are_removed(self, keys: Keys, database: Database, moved_clock: MovedClock) -> None:
        moved_clock.forward(
            -WINDOW
        )  # the key ends at the present, so that keys of other tests in the table are not removed
        await keys.claim(keys.ask(key="old"))
        moved_clock.forward(WINDOW - 60 * SECOND)
        await keys.complete(await keys.claim(keys.ask(key="young")))
        moved_clock.forward(61 * SECOND)
        async with database.system() as session:
            assert await remove_expired(session, limit=5000) >= 1
        left = await rows_of(database, keys.tenant_id, "SELECT state FROM idempotency_keys")
        assert [row["state"] for row in left] == ["completed"]

    async def test_however_many_are_over_one_run_removes_them(
        self,
        keys: Keys,
        task_context: TaskContext,
        database: Database,
        moved_clock: MovedClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(infra_tasks, "KEYS_A_BATCH", 2)
        moved_clock.forward(-WINDOW)
        for number in range(7):
            await keys.claim(keys.ask(key=f"old-{number}"))
        moved_clock.forward(WINDOW + SECOND)
        await infra_tasks.clean.run(task_context)
        assert await rows_of(database, keys.tenant_id, "SELECT state FROM idempotency_keys") == []

    async def test_an_expired_key_that_is_claimed_anew_is_not_removed(
        self, keys: Keys, database: Database, moved_clock: MovedClock, addresses: ServiceAddresses
    ) -> None:
        moved_clock.forward(-WINDOW)
        await keys.complete(await keys.claim())
        moved_clock.forward(WINDOW + SECOND)

        async def remove() -> None:
            async with database.system() as session:
                await remove_expired(session, limit=5000)

        async with database.tenant(keys.tenant_id) as session:
            await IdempotencyStore(session).claim(keys.ask())
            removing = asyncio.create_task(remove())
            await waits_for_a_lock(addresses, "DELETE FROM idempotency_keys%")
        await removing
        assert type(await keys.refusal()) is IdempotencyInProgressError


class TestWorkUnderAKey:
    """These tests cover the key when the work fails between its first and its last transaction."""

    async def fail(self, database: Database, claim: Claim, error: Exception, *, paid: bool = False) -> None:
        async def work_and_fail() -> None:
            async with IdempotentWork(database, claim) as work:
                async with database.tenant(claim.tenant_id) as session:
                    await work.begin(session)
                    if paid:
                        await work.mark_paid(session)
                raise error

        with pytest.raises(type(error)):
            await work_and_fail()

    @pytest.mark.parametrize("paid", [False, True])
    async def test_it_is_free_where_nothing_was_spent(self, keys: Keys, database: Database, *, paid: bool) -> None:
        await self.fail(database, keys.ask(), UnavailableError(), paid=paid)
        await keys.claim()

    async def test_it_stays_taken_where_money_may_have_been_spent(self, keys: Keys, database: Database) -> None:
        await self.fail(database, keys.ask(), ZeroDivisionError(), paid=True)
        assert type(await keys.refusal()) is IdempotencyOutcomeUnknownError

    async def test_it_stays_in_progress_where_nobody_knows(self, keys: Keys, database: Database) -> None:
        await self.fail(database, keys.ask(), CommitOutcomeUnknownError())
        assert type(await keys.refusal()) is IdempotencyInProgressError

    async def test_a_refused_duplicate_frees_nothing(self, keys: Keys, database: Database) -> None:
        await keys.claim()
        with pytest.raises(IdempotencyInProgressError):
            async with IdempotentWork(database, keys.ask()) as work, database.tenant(keys.tenant_id) as session:
                await work.begin(session)
        assert type(await keys.refusal()) is IdempotencyInProgressError

    async def test_the_first_error_is_told_when_the_database_is_away(self, keys: Keys, database: Database) -> None:
        away = Database(make_url("postgresql+asyncpg://nobody@127.0.0.1:1/nothing"))
        work = IdempotentWork(away, keys.ask())
        async with database.tenant(keys.tenant_id) as session:
            await work.begin(session)
        with pytest.raises(ZeroDivisionError):
            async with work:
                raise ZeroDivisionError


class Caller:
    """Calls the API as a tenant, with one idempotency key in all requests."""

    def __init__(self, tenant: TenantClient, key: str = "query-001") -> None:
        self.tenant = tenant
        self.headers = {"Idempotency-Key": key}

    async def create(self, name: str = "Docs", **parameters: str) -> httpx2.Response:
        return await self.tenant.post(
            "/ingestion/projects/create", params={"name": name, **parameters}, headers=self.headers
        )

    async def ask(self, project: str, question: str = "Why?") -> httpx2.Response:
        return await self.tenant.ask(project, question, headers=self.headers)

    async def read(self, resource: str) -> httpx2.Response:
        return await self.tenant.get(f"http://ignite.test{resource}")


@pytest.fixture
def caller(tenant: TenantClient) -> Caller:
    return Caller(tenant)


async def messages_used(tenant: TenantClient) -> Any:
    return (await tenant.get("/limits/current")).json()["usage"]["messages_used"]


class TestOverHttp:
    """These tests send requests that create projects and ask questions."""

    async def test_a_duplicate_creation_leads_to_the_project(self, caller: Caller) -> None:
        first = await caller.create()
        body = problem(await caller.create(), 409, "idempotency_duplicate")
        found = await caller.read(body["resource"])
        assert found.status_code == 200
        assert found.json()["project_id"] == first.json()["id"]
        assert {"first_seen_at", "expires_at"} <= set(body)

    async def test_a_duplicate_question_leads_to_its_answer(self, caller: Caller) -> None:
        project = await caller.tenant.create_project()
        first = await caller.ask(project)
        body = problem(await caller.ask(project), 409, "idempotency_duplicate")
        assert (await caller.read(body["resource"])).json() == {**first.json(), "feedback": None}
        assert await messages_used(caller.tenant) == 1

    async def test_twenty_questions_at_once_are_one(self, caller: Caller, database: Database) -> None:
        project = await caller.tenant.create_project()
        answers = await asyncio.gather(*(caller.ask(project) for _ in range(20)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes <= {"idempotency_in_progress", "idempotency_duplicate"}
        assert await messages_used(caller.tenant) == 1
        assert len(await rows_of(database, caller.tenant.id, "SELECT 1 FROM messages WHERE role = 'user'")) == 1

    async def test_twenty_creations_at_once_are_one(self, caller: Caller) -> None:
        answers = await asyncio.gather(*(caller.create() for _ in range(20)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"idempotency_duplicate"}

    async def test_a_question_under_way_says_so(self, caller: Caller, database: Database) -> None:
        """The first question runs in another process, so this process sees only its row."""
        project = await caller.tenant.create_project()
        await caller.ask(project)
        async with database.tenant(caller.tenant.id) as session:
            await session.execute(text("UPDATE idempotency_keys SET state = 'in_progress', resource = NULL"))
        answer = await caller.ask(project)
        problem(answer, 409, "idempotency_in_progress")
        assert answer.headers["retry-after"] == "1"

    async def test_another_request_with_the_key_is_refused(self, caller: Caller) -> None:
        project = await caller.tenant.create_project()
        await caller.ask(project)
        problem(await caller.ask(project, "Why not?"), 422, "idempotency_key_reused")
        await caller.create("One")
        problem(await caller.create("Two"), 422, "idempotency_key_reused")
        assert await messages_used(caller.tenant) == 1

    async def test_routes_and_tenants_do_not_share_keys(self, caller: Caller, make_tenant: TenantFactory) -> None:
        project = (await caller.create()).json()["id"]
        assert (await caller.ask(project)).status_code == 200
        assert (await Caller(await make_tenant()).create()).status_code == 200

    async def test_no_key_is_no_bar(self, tenant: TenantClient) -> None:
        project = await tenant.create_project()
        answers = [await tenant.ask(project, "Why?") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert await messages_used(tenant) == 2


class TestAFailureBeforeAnyEffectFreesTheKey:
    """These tests check that the same request runs when it is sent again."""

    async def test_an_unknown_project(self, caller: Caller) -> None:
        problem(await caller.ask(str(new_id())), 404, "project_not_found")
        project = await caller.tenant.create_project()
        assert (await caller.ask(project)).status_code == 200

    async def test_an_invalid_body(self, caller: Caller) -> None:
        project = await caller.tenant.create_project()
        problem(await caller.ask(project, " "), 422, "validation_error")
        assert (await caller.ask(project)).status_code == 200

    async def test_no_message_left(self, make_tenant: TenantFactory, database: Database) -> None:
        caller = Caller(await make_tenant(await make_plan(database, messages=0)))
        project = await caller.tenant.create_project()
        problem(await caller.ask(project), 402, "quota_exceeded")
        await caller.tenant.post("/billing/subscribe", params={"plan_id": "pro"})
        assert (await caller.ask(project)).status_code == 200

    async def test_no_project_left(self, caller: Caller) -> None:
        for number in range(3):
            await caller.tenant.create_project(f"Docs {number}")
        problem(await caller.create("One more"), 402, "quota_exceeded")
        await caller.tenant.post("/billing/subscribe", params={"plan_id": "pro"})
        assert (await caller.create("One more")).json()["status"] == "created"

    async def test_an_engine_that_fails(
        self, caller: Caller, settings: Settings, state: AppState, addresses: ServiceAddresses, database: Database
    ) -> None:
        project = await caller.tenant.create_project()
        refused = Database(addresses.api_url.set(password="wrong"))
        broken: AppState = {**state, "engines": build_engines(refused, settings)}
        async with client_for(settings, broken) as api:
            tenant = TenantClient(caller.tenant.id, api, caller.tenant.headers)
            problem(await Caller(tenant).ask(project), 503, "unavailable")
        await refused.close()
        assert await counter(database, caller.tenant.id, "messages") == (0, 0)
        assert (await caller.ask(project)).status_code == 200


class TestInvalidKeys:
    """These tests check that a request may have one key, of 1 to 255 visible ASCII characters."""

    @pytest.mark.parametrize(
        "key",
        ["", "x" * 256, "clé", "日", "two words", "tab\there", "\x7f"],
        ids=["empty", "256 characters", "Latin-1", "UTF-8", "a blank", "a tab", "a control character"],
    )
    async def test_they_are_refused_and_nothing_is_done(self, tenant: TenantClient, key: str) -> None:
        authorization = tenant.headers["Authorization"].encode()
        headers = {b"Authorization": authorization, b"Idempotency-Key": key.encode()}
        answer = await tenant.http.post("/ingestion/projects/create", params={"name": "Docs"}, headers=headers)
        problem(answer, 400, "idempotency_key_invalid")
        assert (await tenant.get("/limits/current")).json()["usage"]["projects"] == 0

    async def test_two_keys_are_refused(self, tenant: TenantClient) -> None:
        headers = [*tenant.headers.items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
        answer = await tenant.http.post("/ingestion/projects/create", params={"name": "Docs"}, headers=headers)
        problem(answer, 400, "idempotency_key_invalid")
        assert (await tenant.get("/limits/current")).json()["usage"]["projects"] == 0

    @pytest.mark.parametrize("key", ["!", "~" * 255, 'a"b', "f47ac10b-58cc-4372-a567-0e02b2c3d479"])
    async def test_the_longest_and_the_strangest_are_taken(self, tenant: TenantClient, key: str) -> None:
        assert (await Caller(tenant, key).create()).status_code == 200
        problem(await Caller(tenant, key).create(), 409, "idempotency_duplicate")

    async def test_a_query_that_is_no_utf_8_has_a_fingerprint_too(
        self, caller: Caller, settings: Settings, state: AppState
    ) -> None:
        app = RawQuery(WithState(create_app(settings), {**state, "settings": settings}), b"name=\xff")
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://ignite.test/api/v1") as api:
            sender = Caller(TenantClient(caller.tenant.id, api, caller.tenant.headers))
            assert (await sender.create()).status_code == 200
            problem(await sender.create(), 409, "idempotency_duplicate")


class RawQuery:
    """Calls the application with a query string that no client library would send."""

    def __init__(self, app: ASGIApp, query: bytes) -> None:
        self._app = app
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "query_string": self._query}, receive, send)
