"""Tests of authentication, which is decided before the body is read."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from pydantic import SecretStr

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.http.state import AppState
from support.http_clients import TenantClient, TenantFactory, UnreadBody, client_for
from support.http_contract import Operation, operations, problem
from support.tokens import SECRET, STRONG_SECRET, bearer, signed

PROTECTED = [operation for operation in operations() if not operation.public]
HELPER = """
import jwt, uuid
tenant_id = str(uuid.uuid4())  # replace with a real tenant ID
token = jwt.encode({"tenant_id": tenant_id}, "change-me", algorithm="HS256")
print(token)
"""
TokenMaker = Callable[[str], str]


def raw_token(payload: bytes, header: bytes = b'{"alg":"HS256"}') -> str:
    """Return a correctly signed token of any bytes, which no library would make."""
    signing_input = b".".join(map(base64url, (header, payload)))
    signature = hmac.digest(SECRET.encode(), signing_input, hashlib.sha256)
    return b".".join((signing_input, base64url(signature))).decode()


def token_with_members(tenant_id: str, members: str, header: bytes = b'{"alg":"HS256"}') -> str:
    """Return a token with members that `json.dumps` would not write."""
    return raw_token(f'{{"tenant_id":"{tenant_id}",{members}}}'.encode(), header)


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token_with_altered_claims(tenant_id: str) -> str:
    header, _, signature = signed(str(uuid4())).split(".")
    return f"{header}.{base64url(json.dumps({'tenant_id': tenant_id}).encode()).decode()}.{signature}"


BAD_TOKENS: dict[str, TokenMaker] = {
    "alg none": lambda tenant: jwt.encode({"tenant_id": tenant}, "", algorithm="none"),
    "alg none, capital": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode(), b'{"alg":"None"}'),
    "no alg": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode(), b"{}"),
    "another secret": lambda tenant: signed(tenant, secret="change-me-not"),
    "an empty secret": lambda tenant: signed(tenant, secret=" "),
    "HS512": lambda tenant: signed(tenant, algorithm="HS512"),
    "HS384": lambda tenant: signed(tenant, algorithm="HS384"),
    "another tenant's signature": token_with_altered_claims,
    "no signature": lambda tenant: signed(tenant).rpartition(".")[0] + ".",
    "expired": lambda tenant: signed(tenant, exp=int(time.time()) - 3600),
    "not valid yet": lambda tenant: signed(tenant, nbf=int(time.time()) + 3600),
    "exp is a word": lambda tenant: raw_token(json.dumps({"tenant_id": tenant, "exp": "never"}).encode()),
    "exp is null": lambda tenant: raw_token(json.dumps({"tenant_id": tenant, "exp": None}).encode()),
    "exp is endless": lambda tenant: raw_token(json.dumps({"tenant_id": tenant, "exp": float("inf")}).encode()),
    "unknown crit": lambda tenant: raw_token(
        json.dumps({"tenant_id": tenant}).encode(), b'{"alg":"HS256","crit":["x"],"x":1}'
    ),
    "no tenant_id": lambda _: jwt.encode({"sub": "someone"}, SECRET, algorithm="HS256"),
    "tenant_id is null": lambda _: jwt.encode({"tenant_id": None}, SECRET, algorithm="HS256"),
    "tenant_id is a number": lambda _: jwt.encode({"tenant_id": 7}, SECRET, algorithm="HS256"),
    "tenant_id is a list": lambda tenant: jwt.encode({"tenant_id": [tenant]}, SECRET, algorithm="HS256"),
    "tenant_id is a word": lambda _: jwt.encode({"tenant_id": "acme"}, SECRET, algorithm="HS256"),
    "tenant_id is empty": lambda _: jwt.encode({"tenant_id": ""}, SECRET, algorithm="HS256"),
    "claims are a list": lambda _: raw_token(b"[1]"),
    "claims are not JSON": lambda _: raw_token(b"tenant"),
    "claims are not UTF-8": lambda _: raw_token(b"\xff\xfe"),
    "claims are nested too deeply": lambda _: raw_token(b"[" * 5000),
    "iat is ahead": lambda tenant: signed(tenant, iat=int(time.time()) + 3600),
    "iat is a word": lambda tenant: raw_token(json.dumps({"tenant_id": tenant, "iat": "now"}).encode()),
    "nbf is a list": lambda tenant: raw_token(json.dumps({"tenant_id": tenant, "nbf": [0]}).encode()),
    "sub is a number": lambda tenant: raw_token(json.dumps({"tenant_id": tenant, "sub": 7}).encode()),
    "typ is a logout token's": lambda tenant: raw_token(
        json.dumps({"tenant_id": tenant}).encode(), b'{"alg":"HS256","typ":"logout+jwt"}'
    ),
    "typ is a number": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode(), b'{"alg":"HS256","typ":1}'),
    "alg is a list": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode(), b'{"alg":["HS256"]}'),
    "alg is RS256 with our secret": lambda tenant: raw_token(
        json.dumps({"tenant_id": tenant}).encode(), b'{"alg":"RS256"}'
    ),
    "a key of its own in the header": lambda tenant: jwt.encode(
        {"tenant_id": tenant},
        "k" * 32,
        algorithm="HS256",
        headers={"jwk": {"kty": "oct", "k": base64url(b"k" * 32).decode()}},
    ),
    "an unknown role": lambda tenant: signed(tenant, role="root"),
    "role is null": lambda tenant: signed(tenant, role=None),
    "role is null beside a scope": lambda tenant: signed(tenant, role=None, scope="usage:read"),
    "role is true": lambda tenant: signed(tenant, role=True),
    "role is a number": lambda tenant: signed(tenant, role=0),
    "role is a list": lambda tenant: signed(tenant, role=["owner"]),
    "role is an object": lambda tenant: signed(tenant, role={"owner": True}),
    "role is empty": lambda tenant: signed(tenant, role=""),
    "role has a blank": lambda tenant: signed(tenant, role="owner "),
    "role is written large": lambda tenant: signed(tenant, role="OWNER"),
    "scope is null": lambda tenant: signed(tenant, scope=None),
    "scope is null beside a role": lambda tenant: signed(tenant, role="viewer", scope=None),
    "scope is a number": lambda tenant: signed(tenant, scope=7),
    "scope is true": lambda tenant: signed(tenant, scope=True),
    "scope is an object": lambda tenant: signed(tenant, scope={"usage:read": True}),
    "scope is a list of numbers": lambda tenant: signed(tenant, scope=[7]),
    "scope is a list with a null": lambda tenant: signed(tenant, scope=["usage:read", None]),
    "sub is null": lambda tenant: signed(tenant, sub=None),
    "jti is null": lambda tenant: signed(tenant, jti=None),
    "exp is a number as text": lambda tenant: signed(tenant, exp=str(int(time.time()) + 3600)),
    "exp is true": lambda tenant: signed(tenant, exp=True),
    "exp is negative": lambda tenant: signed(tenant, exp=-1),
    "exp has 400 digits": lambda tenant: token_with_members(tenant, f'"exp":{"9" * 400}'),
    "exp has 5,000 digits": lambda tenant: token_with_members(tenant, f'"exp":{"9" * 5000}'),
    "exp is 1e400": lambda tenant: token_with_members(tenant, '"exp":1e400'),
    "exp is 1e300": lambda tenant: token_with_members(tenant, '"exp":1e300'),
    "exp is NaN": lambda tenant: token_with_members(tenant, '"exp":NaN'),
    "exp is an object": lambda tenant: signed(tenant, exp={"seconds": 9_999_999_999}),
    "exp is in milliseconds": lambda tenant: signed(tenant, exp=int(time.time() * 1000) + 3_600_000),
    "nbf is a number as text": lambda tenant: signed(tenant, nbf="0"),
    "nbf is null": lambda tenant: signed(tenant, nbf=None),
    "nbf is false": lambda tenant: signed(tenant, nbf=False),
    "nbf is minus 1e400": lambda tenant: token_with_members(tenant, '"nbf":-1e400'),
    "iat is a number as text": lambda tenant: signed(tenant, iat="0"),
    "iat is null": lambda tenant: signed(tenant, iat=None),
    "iat is negative": lambda tenant: signed(tenant, iat=-(10**30)),
    "iat is minus infinity": lambda tenant: token_with_members(tenant, '"iat":-Infinity'),
    "another claim is NaN": lambda tenant: token_with_members(tenant, '"other":[NaN]'),
    "another claim is 1e999": lambda tenant: token_with_members(tenant, '"other":{"deep":1e999}'),
    "exp twice": lambda tenant: token_with_members(tenant, '"exp":1,"exp":9999999999'),
    "role twice": lambda tenant: token_with_members(tenant, '"role":"viewer","role":"owner"'),
    "role twice, once escaped": lambda tenant: token_with_members(tenant, r'"role":"viewer","r\u006fle":"owner"'),
    "tenant_id twice": lambda tenant: token_with_members(tenant, f'"tenant_id":"{uuid4()}"'),
    "a name twice in another claim": lambda tenant: token_with_members(tenant, '"other":[{"a":1,"a":2}]'),
    "alg twice": lambda tenant: token_with_members(tenant, '"sub":"a"', b'{"alg":"none","alg":"HS256"}'),
    "typ twice": lambda tenant: token_with_members(
        tenant, '"sub":"a"', b'{"typ":"logout+jwt","typ":"JWT","alg":"HS256"}'
    ),
    "a payload in UTF-16": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode("utf-16")),
    "a header in UTF-16": lambda tenant: raw_token(
        json.dumps({"tenant_id": tenant}).encode(), '{"alg":"HS256"}'.encode("utf-16")
    ),
    "a header that is a list": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode(), b'["HS256"]'),
    "a header nested too deeply": lambda tenant: raw_token(json.dumps({"tenant_id": tenant}).encode(), b"[" * 3000),
    "b64 is false": lambda tenant: token_with_members(
        tenant, '"sub":"a"', b'{"alg":"HS256","b64":false,"crit":["b64"]}'
    ),
    "b64 is true and critical": lambda tenant: token_with_members(
        tenant, '"sub":"a"', b'{"alg":"HS256","b64":true,"crit":["b64"]}'
    ),
    "crit is null": lambda tenant: token_with_members(tenant, '"sub":"a"', b'{"alg":"HS256","crit":null}'),
    "crit is empty": lambda tenant: token_with_members(tenant, '"sub":"a"', b'{"alg":"HS256","crit":[]}'),
    "the payload is encrypted": lambda tenant: f"{signed(tenant)}.e.f",
    "10 kB": lambda tenant: signed(tenant, padding="x" * 10_000),
    "garbage": lambda _: "garbage",
    "three dots": lambda _: "a.b.c",
    "not ASCII": lambda tenant: f"{signed(tenant)}é",
    "a space within": lambda tenant: signed(tenant).replace(".", " .", 1),
    "two tokens": lambda tenant: f"{signed(tenant)} {signed(tenant)}",
    "two tokens with a comma": lambda tenant: f"{signed(tenant)}, Bearer {signed(tenant)}",
}


def refused(answer: httpx2.Response) -> None:
    body = problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}


def test_every_part_of_the_api_is_looked_at() -> None:
    assert {operation.path.split("/")[1] for operation in PROTECTED} >= {"billing", "ingestion", "query", "limits"}


@pytest.mark.parametrize("operation", PROTECTED, ids=str)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer garbage"}], ids=["no token", "a bad token"])
async def test_without_a_token_nothing_is_read(
    client: httpx2.AsyncClient, operation: Operation, headers: dict[str, str]
) -> None:
    body = UnreadBody()
    answer = await client.request(
        operation.method, operation.url(), headers={**headers, "Content-Type": "application/json"}, content=body
    )
    refused(answer)
    assert not body.read


@pytest.mark.parametrize("operation", [each for each in PROTECTED if each.for_tenants], ids=str)
async def test_another_tenants_id_is_refused_before_the_body(tenant: TenantClient, operation: Operation) -> None:
    body = UnreadBody()
    answer = await tenant.http.request(
        operation.method,
        operation.url(),
        params={"tenant_id": str(uuid4())},
        headers={**tenant.headers, "Content-Type": "application/json"},
        content=body,
    )
    problem(answer, 403, "tenant_mismatch")
    assert not body.read


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_bad_token_is_refused(tenant: TenantClient, make: TokenMaker) -> None:
    token = make(str(tenant.id))
    answer = await tenant.http.get("/limits/current", headers=bearer(token))
    refused(answer)
    assert token not in answer.text


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic {token}", "{token}", "Bearer:{token}", "Token {token}"]
)
async def test_only_the_bearer_scheme_is_known(tenant: TenantClient, header: str) -> None:
    value = header.format(token=signed(str(tenant.id)))
    refused(await tenant.http.get("/limits/current", headers={"Authorization": value}))


@pytest.mark.parametrize("header", ["Bearer {token}", "bearer {token}", "BEARER {token}", "Bearer  {token}"])
async def test_a_good_token_in_any_way_the_standard_allows(tenant: TenantClient, header: str) -> None:
    value = header.format(token=signed(str(tenant.id)))
    answer = await tenant.http.get("/limits/current", headers={"Authorization": value})
    assert answer.status_code == 200
    assert answer.json()["plan_id"] == "hobby"


async def test_two_headers_are_one_too_many(tenant: TenantClient) -> None:
    good = f"Bearer {signed(str(tenant.id))}"
    for pair in (("Bearer garbage", good), (good, "Bearer garbage"), (good, good)):
        refused(await tenant.http.get("/limits/current", headers=[("Authorization", value) for value in pair]))


async def test_claims_that_are_not_ours_do_not_matter(tenant: TenantClient) -> None:
    now = int(time.time())
    token = signed(str(tenant.id), exp=now + 60, nbf=now - 60, iat=now, aud="elsewhere", iss="login", roles=["x"])
    assert (await tenant.http.get("/limits/current", headers=bearer(token))).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nthis is no part"),
        ("multipart/form-data", b"--x--"),
        ("application/json", b'{"project_id": '),
        ("application/json", b"\xff\xfe"),
    ],
)
async def test_a_malformed_body_with_a_bad_token_is_a_bad_token(
    client: httpx2.AsyncClient, content_type: str, content: bytes
) -> None:
    headers = {"Authorization": "Bearer garbage", "Content-Type": content_type}
    for path in ("/query/ask", f"/ingestion/projects/{uuid4()}/upload_and_attach"):
        refused(await client.post(path, headers=headers, content=content))


async def test_dates_may_have_fractions(tenant: TenantClient) -> None:
    now = time.time()
    token = signed(str(tenant.id), exp=now + 60.5, nbf=now - 1.25, iat=0)
    assert (await tenant.http.get("/limits/current", headers=bearer(token))).status_code == 200


class TestLongestLifetime:
    """These tests cover `JWT_MAX_LIFETIME_SECONDS`. In production, the default is one day."""

    DAY = 86_400

    @pytest.fixture
    async def limited(self, settings: Settings, state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
        own = settings.jwt.model_copy(update={"max_lifetime_seconds": self.DAY})
        async with client_for(settings.model_copy(update={"jwt": own}), state) as client:
            yield client

    @pytest.mark.parametrize(
        ("claims", "status"),
        [
            ({"exp": DAY - 60}, 200),
            ({"iat": 0, "exp": DAY}, 200),
            ({"iat": -3600, "exp": DAY - 3600}, 200),
            ({}, 401),
            ({"iat": 0}, 401),
            ({"exp": DAY + 3600}, 401),
            ({"exp": 100 * 365 * DAY}, 401),
            ({"iat": -3600, "exp": DAY - 3500}, 401),
            ({"iat": -50 * 365 * DAY, "exp": 60}, 401),
        ],
    )
    async def test_it_counts_from_now_and_from_the_issue(
        self, limited: httpx2.AsyncClient, tenant: TenantClient, claims: dict[str, Any], status: int
    ) -> None:
        now = int(time.time())
        token = signed(str(tenant.id), **{name: now + seconds for name, seconds in claims.items()})
        answer = await limited.get("/limits/current", headers=bearer(token))
        assert answer.status_code == status, answer.text

    async def test_production_has_one_and_development_has_none(
        self, settings: Settings, state: AppState, tenant: TenantClient
    ) -> None:
        production = in_production(settings)
        ten_years = int(time.time()) + 10 * 365 * self.DAY
        assert (await tenant.http.get("/limits/current", headers=tenant.headers)).status_code == 200
        async with client_for(production, state) as client:
            token = signed(str(tenant.id), secret=STRONG_SECRET, exp=ten_years)
            refused(await client.get("/limits/current", headers=bearer(token)))
        with pytest.raises(ConfigurationError, match=r"^JWT_MAX_LIFETIME_SECONDS: .* 86400 s at most"):
            sign_token(tenant.id, production, expires_at=ten_years)
        longer = production.jwt.model_copy(update={"max_lifetime_seconds": 11 * 365 * self.DAY})
        async with client_for(production.model_copy(update={"jwt": longer}), state) as client:
            assert (await client.get("/limits/current", headers=bearer(token))).status_code == 200


def in_production(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "app": settings.app.model_copy(update={"env": "production"}),
            "jwt": settings.jwt.model_copy(update={"secret": SecretStr(STRONG_SECRET)}),
        }
    )


async def test_production_wants_an_end_to_every_token(
    settings: Settings, state: AppState, tenant: TenantClient
) -> None:
    production = in_production(settings)
    endless = signed(str(tenant.id), secret=STRONG_SECRET)
    ending = sign_token(tenant.id, production, expires_at=int(time.time()) + 60)
    async with client_for(production, state) as client:
        refused(await client.get("/limits/current", headers=bearer(endless)))
        refused(await client.get("/limits/current", headers=tenant.headers))
        assert (await client.get("/limits/current", headers=bearer(ending))).status_code == 200


async def test_the_token_helper_of_the_readme_works_as_written(client: httpx2.AsyncClient) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    token, _ = await process.communicate(HELPER.encode())
    answer = await client.get("/limits/current", headers=bearer(token.decode().strip()))
    assert answer.status_code == 200
    assert answer.json() == {"subscribed": False}


class TestTenantIdsSentBesideTheToken:
    """These tests check that `X-Tenant-Id` and `tenant_id` may only repeat the tenant of the token."""

    @pytest.mark.parametrize(
        "claimed", ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "", "acme", "null", "{tenant},{tenant}", "{tenant}x"]
    )
    async def test_any_other_value_is_refused(self, tenant: TenantClient, claimed: str) -> None:
        value = claimed.replace("{tenant}", str(tenant.id))
        headers = {**tenant.headers, "X-Tenant-Id": value}
        problem(await tenant.http.get("/limits/current", headers=headers), 403, "tenant_mismatch")
        problem(await tenant.get("/limits/current", params={"tenant_id": value}), 403, "tenant_mismatch")

    async def test_the_tokens_own_is_accepted(self, tenant: TenantClient) -> None:
        own = str(tenant.id)
        for parameter, header in ((own, own), (own.upper(), own.replace("-", ""))):
            answer = await tenant.http.get(
                "/limits/current", params={"tenant_id": parameter}, headers={**tenant.headers, "X-Tenant-Id": header}
            )
            assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("first", ["own", "other"])
    async def test_two_values_do_not_hide_one_another(self, tenant: TenantClient, first: str) -> None:
        values = [str(tenant.id), str(uuid4())]
        if first == "other":
            values.reverse()
        parameters = [("tenant_id", value) for value in values]
        headers = [*tenant.headers.items(), *(("X-Tenant-Id", value) for value in values)]
        problem(await tenant.get("/limits/current", params=parameters), 403, "tenant_mismatch")
        problem(await tenant.http.get("/limits/current", headers=headers), 403, "tenant_mismatch")

    async def test_the_same_value_twice_says_one_thing(self, tenant: TenantClient) -> None:
        twice = [("tenant_id", str(tenant.id))] * 2
        assert (await tenant.get("/limits/current", params=twice)).status_code == 200

    async def test_a_good_parameter_does_not_excuse_a_bad_header(self, tenant: TenantClient) -> None:
        headers = {**tenant.headers, "X-Tenant-Id": str(uuid4())}
        answer = await tenant.http.get("/limits/current", params={"tenant_id": str(tenant.id)}, headers=headers)
        problem(answer, 403, "tenant_mismatch")

    async def test_nothing_of_the_other_tenant_is_named(self, make_tenant: TenantFactory) -> None:
        mine, other = await make_tenant(), await make_tenant()
        answers = [
            await mine.get("/limits/current", params={"tenant_id": str(tenant_id)}) for tenant_id in (other.id, uuid4())
        ]
        bodies = [{**answer.json(), "request_id": None} for answer in answers]
        assert bodies[0] == bodies[1]
