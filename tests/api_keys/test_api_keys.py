"""Tests that create, use, rotate and revoke the API keys of a tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.api_keys.authenticator import ApiKeyAuthenticator
from fastapi_ignite.api_keys.service import MAX_ACTIVE_KEYS
from fastapi_ignite.core import clock
from fastapi_ignite.core.api_key_format import ALPHABET, new_tenant_key
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.permissions import Role
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from support.http_clients import TenantClient, TenantFactory, client_for
from support.http_contract import problem
from support.tenant_records import eventually, rows_of, waiting_for
from support.tokens import bearer, signed
from support.watched_statements import recorded_statements

CACHE_SECONDS = 1.1  # seconds after which no process has a key in its cache any more


async def make_key(tenant: TenantClient, **wanted: Any) -> dict[str, Any]:
    answer = await tenant.post("/api-keys", json={"name": "import", **wanted})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def use(tenant: TenantClient, key: str) -> httpx2.Response:
    return await tenant.http.get("/limits/current", headers=bearer(key))


async def stored(database: Database, tenant: TenantClient, what: str = "*") -> list[dict[str, Any]]:
    return [dict(row) for row in await rows_of(database, tenant.id, f"SELECT {what} FROM api_keys ORDER BY id")]  # noqa: S608  tests choose the columns


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Return a function that sets the clock of the program ahead by a time."""

    def move(ahead: timedelta) -> None:
        monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + ahead)

    return move


async def test_a_key_acts_for_its_tenant(tenant: TenantClient) -> None:
    made = await make_key(tenant, role="owner")
    assert made["key"].startswith("ign_test_")
    assert made["key"].endswith(made["hint"])
    answer = await use(tenant, made["key"])
    assert answer.status_code == 200
    assert answer.json()["plan_id"] == "hobby"
    project = await tenant.create_project("Docs")
    found = await tenant.http.get(f"/ingestion/projects/{project}/files", headers=bearer(made["key"]))
    assert found.status_code == 200


async def test_only_the_first_answer_shows_it_and_the_database_never_does(
    tenant: TenantClient, database: Database
) -> None:
    key = (await make_key(tenant))["key"]
    assert key not in (await tenant.get("/api-keys")).text
    assert key not in (await tenant.get("/audit")).text
    (row,) = await stored(database, tenant, "api_keys::text AS row")
    secret = key.removeprefix("ign_test_")[22:-6]
    for part in (key, secret):
        assert part not in row["row"]
        assert part.encode().hex() not in row["row"]


async def test_nobody_else_gets_anything_by_it(tenant: TenantClient, make_tenant: TenantFactory) -> None:
    other = await make_tenant()
    made = await make_key(other)
    headers = {**bearer(made["key"]), b"X-Tenant-Id": str(tenant.id).encode()}
    problem(await tenant.http.get("/limits/current", headers=headers), 403, "tenant_mismatch")
    for method, path in (("DELETE", f"/api-keys/{made['id']}"), ("POST", f"/api-keys/{made['id']}/rotate")):
        answer = await tenant.http.request(method, path, headers=tenant.headers, json={})
        problem(answer, 404, "api_key_not_found")
    assert (await tenant.get("/api-keys")).json()["api_keys"] == []
    assert (await use(other, made["key"])).status_code == 200


def changed_checksum(key: str) -> str:
    return key[:-1] + ALPHABET[(ALPHABET.index(key[-1]) + 1) % len(ALPHABET)]


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + "0",
        changed_checksum,
        lambda key: key.replace("ign_test_", "ign_live_"),
        lambda key: key.replace("ign_test_", "ign_admin_"),
        lambda key: key.swapcase(),
        lambda _: "ign_test_",
        lambda _: "ign_" + "x" * 8000,
        lambda key: key[:20] + "\xe9" + key[21:],
    ],
)
async def test_what_is_no_key_is_refused(tenant: TenantClient, change: Callable[[str], str]) -> None:
    made = await make_key(tenant)
    answer = await use(tenant, change(made["key"]))
    problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await use(tenant, made["key"])).status_code == 200


async def test_a_well_formed_key_of_a_tenant_that_never_made_it(
    tenant: TenantClient, settings: Settings, state: AppState
) -> None:
    problem(await use(tenant, new_tenant_key(tenant.id, settings)), 401, "invalid_token")
    assert (
        await ApiKeyAuthenticator(state["database"], settings).authenticate(new_tenant_key(uuid4(), settings)) is None
    )


async def test_a_key_of_development_opens_nothing_in_production(
    settings: Settings, state: AppState, tenant: TenantClient
) -> None:
    key = (await make_key(tenant))["key"]
    production = settings.model_copy(update={"app": settings.app.model_copy(update={"env": "production"})})
    keys = ApiKeyAuthenticator(state["database"], production)
    async with client_for(production, {**state, "api_keys": keys}) as client:
        problem(await client.get("/limits/current", headers=bearer(key)), 401, "invalid_token")


async def test_a_revoked_key_ends_within_a_second_and_stays_listed(tenant: TenantClient) -> None:
    made = await make_key(tenant)
    assert (await use(tenant, made["key"])).status_code == 200
    revoked = (await tenant.delete(f"/api-keys/{made['id']}")).json()
    assert revoked["revoked_at"]
    await asyncio.sleep(CACHE_SECONDS)
    problem(await use(tenant, made["key"]), 401, "invalid_token")
    again = (await tenant.delete(f"/api-keys/{made['id']}")).json()
    assert again["revoked_at"] == revoked["revoked_at"]
    (listed,) = (await tenant.get("/api-keys")).json()["api_keys"]
    assert listed["revoked_at"] == revoked["revoked_at"]
    actions = [event["action"] for event in (await tenant.get("/audit")).json()["events"]]
    assert actions.count("api_key.revoked") == 1


async def test_a_key_ends_when_it_said_it_would(tenant: TenantClient, move_clock: Callable[[timedelta], None]) -> None:
    ends = datetime.now(UTC) + timedelta(minutes=10)
    made = await make_key(tenant, expires_at=ends.isoformat())
    assert datetime.fromisoformat(made["expires_at"]) == ends
    assert (await use(tenant, made["key"])).status_code == 200
    move_clock(timedelta(minutes=11))
    problem(await use(tenant, made["key"]), 401, "invalid_token")
    problem(await tenant.post(f"/api-keys/{made['id']}/rotate", json={}), 409, "api_key_ended")


class TestRotation:
    async def test_both_keys_work_until_the_overlap_is_over(
        self, tenant: TenantClient, move_clock: Callable[[timedelta], None]
    ) -> None:
        old = await make_key(tenant, role="viewer", scopes=["usage:read"])
        answer = await tenant.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 3600})
        assert answer.status_code == 201
        new = answer.json()
        assert (new["name"], new["role"], new["scopes"]) == (old["name"], old["role"], old["scopes"])
        for key in (old, new):
            assert (await use(tenant, key["key"])).status_code == 200
        move_clock(timedelta(seconds=3601))
        problem(await use(tenant, old["key"]), 401, "invalid_token")
        assert (await use(tenant, new["key"])).status_code == 200
        listed = {key["id"]: key for key in (await tenant.get("/api-keys")).json()["api_keys"]}
        assert listed[old["id"]]["replaced_by"] == new["id"]

    async def test_the_new_key_lives_as_long_as_the_old_one_was_to(self, tenant: TenantClient) -> None:
        ends = datetime.now(UTC) + timedelta(days=90)
        old = await make_key(tenant, expires_at=ends.isoformat())
        new = (await tenant.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 0})).json()
        lifetimes = [
            datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"]) for key in (old, new)
        ]
        assert abs(lifetimes[0] - lifetimes[1]) < timedelta(seconds=1)

    async def test_twenty_at_once_make_one(self, tenant: TenantClient) -> None:
        old = await make_key(tenant)
        answers = await asyncio.gather(*(tenant.post(f"/api-keys/{old['id']}/rotate", json={}) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        assert len((await tenant.get("/api-keys")).json()["api_keys"]) == 2

    async def test_who_may_do_less_cannot_rotate(self, tenant: TenantClient) -> None:
        old = await make_key(tenant, role="owner")
        token = signed(str(tenant.id), role="admin")
        answer = await tenant.http.post(f"/api-keys/{old['id']}/rotate", headers=bearer(token), json={})
        assert problem(answer, 403, "insufficient_scope")["missing_scopes"] == ["billing:write"]

    @pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "soon", None])
    async def test_the_overlap_is_bounded(self, tenant: TenantClient, overlap: object) -> None:
        old = await make_key(tenant)
        answer = await tenant.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": overlap})
        problem(answer, 422, "validation_error")


class TestRights:
    @pytest.mark.parametrize("role", Role)
    async def test_a_role_is_that_of_a_token(self, tenant: TenantClient, role: Role) -> None:
        key = (await make_key(tenant, role=role))["key"]
        answer = await tenant.http.post("/billing/subscribe", params={"plan_id": "pro"}, headers=bearer(key))
        assert answer.status_code == (200 if role == Role.OWNER else 403)

    async def test_scopes_narrow_it(self, tenant: TenantClient) -> None:
        key = (await make_key(tenant, role="owner", scopes=["files:read"]))["key"]
        problem(await use(tenant, key), 403, "insufficient_scope")

    async def test_none_can_do_more_than_its_maker(self, tenant: TenantClient) -> None:
        token = bearer(signed(str(tenant.id), scope="api_keys:write usage:read"))
        refused = await tenant.http.post("/api-keys", headers=token, json={"name": "more"})
        missing = problem(refused, 403, "insufficient_scope")["missing_scopes"]
        assert "files:write" in missing
        assert "usage:read" not in missing
        allowed = {"name": "same", "scopes": ["usage:read"]}
        assert (await tenant.http.post("/api-keys", headers=token, json=allowed)).status_code == 201
        assert len((await tenant.get("/api-keys")).json()["api_keys"]) == 1

    async def test_a_key_made_by_a_key_names_it(self, tenant: TenantClient) -> None:
        first = await make_key(tenant, role="admin")
        answer = await tenant.http.post("/api-keys", headers=bearer(first["key"]), json={"name": "second"})
        assert answer.json()["created_by"] == f"api_key:{first['id']}"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": " "},
        {"name": "a\x00b"},
        {"name": "x" * 201},
        {"name": "a", "role": "root"},
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": ["everything"]},
        {"name": "a", "expires_at": "2030-01-01T00:00:00"},
        {"name": "a", "expires_at": "2030-01-01"},
        {"name": "a", "expires_at": 4_102_444_800},
        {"name": "a", "expires_at": "4102444800"},
        {"name": "a", "expires_at": True},
        {"name": "a", "expires_at": ""},
        {"name": "a", "expires_at": "never"},
        {"name": "a", "expires_at": "2200-01-01T00:00:00Z"},
        {"name": "a", "expires_at": "9999-12-31T23:59:59.999999Z"},
        {"name": "a", "expires_at": "9999-12-31T23:59:59-23:59"},
        {"name": "a", "tenant_id": str(uuid4())},
        {"name": "a", "key": "ign_test_mine"},
    ],
)
async def test_bad_input_makes_no_key(tenant: TenantClient, body: dict[str, Any]) -> None:
    problem(await tenant.post("/api-keys", json=body), 422, "validation_error")
    assert (await tenant.get("/api-keys")).json()["api_keys"] == []


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"])
async def test_an_expiry_behind_us_is_refused(tenant: TenantClient, expires_at: str) -> None:
    answer = await tenant.post("/api-keys", json={"name": "a", "expires_at": expires_at})
    problem(answer, 422, "expiry_not_ahead")


async def test_the_furthest_expiry_can_be_rotated(tenant: TenantClient) -> None:
    old = await make_key(tenant, expires_at="2199-12-31T23:59:59.999999Z")
    assert (await tenant.post(f"/api-keys/{old['id']}/rotate", json={})).status_code == 201


async def test_as_many_as_allowed_and_no_more_whoever_comes_at_once(
    tenant: TenantClient, database: Database, addresses: ServiceAddresses
) -> None:
    async with database.tenant(tenant.id) as session:
        await session.execute(
            text(
                "INSERT INTO api_keys (tenant_id, id, name, digest, hint, role, created_by) "
                "SELECT :tenant, gen_random_uuid(), 'k', decode(md5(n::text), 'hex'), 'k', 'member', 'test' "
                "FROM generate_series(1, :number) n"
            ),
            {"tenant": tenant.id, "number": MAX_ACTIVE_KEYS - 1},
        )
    owner = Database(addresses.owner_url, pool_size=1)  # the owner sees the statements of other logins
    async with database.tenant(tenant.id) as session:
        await session.execute(text("SELECT 1 FROM tenants FOR UPDATE"))
        crowd = [asyncio.create_task(tenant.post("/api-keys", json={"name": "last"})) for _ in range(8)]

        async def all_there() -> bool:
            return await waiting_for(owner, "%tenants%FOR UPDATE%") + await waiting_for(owner, "INSERT%") == len(crowd)

        await eventually(all_there)
    answers = await asyncio.gather(*crowd)
    await owner.close()
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    problem(next(answer for answer in answers if answer.status_code == 409), 409, "too_many_api_keys")


async def test_a_mistyped_key_costs_no_look_at_the_database(
    tenant: TenantClient, settings: Settings, state: AppState
) -> None:
    key = (await make_key(tenant))["key"]
    authenticator = ApiKeyAuthenticator(state["database"], settings)
    with recorded_statements(state["database"]) as statements:
        assert await authenticator.authenticate(changed_checksum(key)) is None
        assert not statements
        assert await authenticator.authenticate(key)
        assert statements


async def test_a_repeated_request_makes_one_key(tenant: TenantClient) -> None:
    headers = {"Idempotency-Key": "key-of-keys"}
    first = await tenant.post("/api-keys", headers=headers, json={"name": "a"})
    second = await tenant.post("/api-keys", headers=headers, json={"name": "a"})
    assert first.status_code == 201
    problem(second, 409, "idempotency_duplicate")
    assert len((await tenant.get("/api-keys")).json()["api_keys"]) == 1


async def test_last_use_is_noted_to_the_minute(
    tenant: TenantClient, settings: Settings, state: AppState, move_clock: Callable[[timedelta], None]
) -> None:
    made = await make_key(tenant)

    async def used() -> str:
        # a new authenticator has an empty cache, like another process
        assert await ApiKeyAuthenticator(state["database"], settings).authenticate(made["key"])
        (key,) = (await tenant.get("/api-keys")).json()["api_keys"]
        return str(key["last_used_at"])

    first = await used()
    assert await used() == first
    move_clock(timedelta(seconds=61))
    assert await used() > first


async def test_pages_follow_each_other(tenant: TenantClient) -> None:
    made = [(await make_key(tenant, name=f"key {number}"))["id"] for number in range(5)]
    seen, after = [], None
    while True:
        page = (await tenant.get("/api-keys", params={"limit": 2, **({"after": after} if after else {})})).json()
        seen += [key["id"] for key in page["api_keys"]]
        after = page["next_after"]
        assert page["has_more"] == (after is not None)
        if after is None:
            break
    assert seen == sorted(made, reverse=True)


async def test_a_key_has_the_tenants_minute_not_one_of_its_own(tenant: TenantClient) -> None:
    key = (await make_key(tenant))["key"]
    left = [
        int((await tenant.http.get("/limits/current", headers=headers)).headers["x-ratelimit-remaining"])
        for headers in (tenant.headers, bearer(key))
    ]
    assert left[1] < left[0]
