"""Tests of the tokens of an identity provider, whose keys may rotate and which may be unavailable."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.security import TokenVerifier, sign_token
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra import jwks
from fastapi_ignite.infra.jwks import KeySet
from support.http_clients import TenantClient, client_for
from support.http_contract import problem
from support.key_server import KeyServer, PrivateKey, elliptic_key, key_server, public_entry, rsa_key
from support.tokens import SECRET, bearer

ISSUER = "https://idp.example.com/"
AUDIENCE = "fastapi-ignite"
RSA, ELLIPTIC, OTHER = rsa_key(), elliptic_key(), rsa_key()


@dataclass
class Provider:
    """Holds a simulated identity provider and the API that trusts it."""

    server: KeyServer
    keys: KeySet
    api: httpx2.AsyncClient
    tenant: TenantClient

    def token(self, key: Any = RSA, *, key_id: str | None = "rsa", algorithm: str = "RS256", **claims: Any) -> str:
        """Return a token that is valid except for the given claims. A claim of None is left out."""
        headers = claims.pop("headers", {})
        good = {"tenant_id": str(self.tenant.id), "iss": ISSUER, "aud": AUDIENCE, "sub": "user-1"}
        whole = {**good, "exp": int(time.time()) + 300, **claims}
        payload = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": key_id, **headers} if key_id else headers)

    async def call(self, token: str) -> httpx2.Response:
        return await self.api.get("/limits/current", headers=bearer(token))


@pytest.fixture
async def provider(settings: Settings, state: AppState, tenant: TenantClient) -> AsyncGenerator[Provider]:
    async with key_server() as server:
        server.keys = [public_entry(RSA, "rsa"), public_entry(ELLIPTIC, "elliptic")]
        own = settings.jwt.model_copy(update={"jwks_url": server.url, "issuer": ISSUER, "audience": (AUDIENCE,)})
        changed = settings.model_copy(update={"jwt": own})
        keys = KeySet(server.url)
        async with client_for(changed, state, keys=keys) as api:
            yield Provider(server, keys, api, tenant)
        await keys.close()


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that moves the clock by which the keys age."""
    ahead = 0.0
    real = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return real() + ahead

    monkeypatch.setattr(jwks, "time", Clock)

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    return move


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def forged(header: dict[str, Any], payload: dict[str, Any], secret: bytes) -> str:
    """Return a token that is signed with a public key as if it were a secret. PyJWT refuses to make one."""
    hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    parts = [jwt.utils.base64url_encode(json.dumps(part).encode()) for part in (header, payload)]
    signing_input = b".".join(parts)
    return b".".join((signing_input, jwt.utils.base64url_encode(hs256.sign(signing_input, secret)))).decode()


def token_with_null(provider: Provider, claim: str) -> str:
    """Return a token that is valid except for a claim that is null. `Provider.token` would leave that claim out."""
    good = jwt.decode(provider.token(), options={"verify_signature": False})
    return token_with_members(provider, json.dumps({**good, claim: None})[1:-1].encode(), good=False)


def token_with_members(provider: Provider, members: bytes, *, header: bytes = b'"kid":"rsa"', good: bool = True) -> str:
    """Return a correctly signed token with these raw members, after the valid claims if `good` is true."""
    claims = {"tenant_id": str(provider.tenant.id), "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300}
    whole = json.dumps(claims)[:-1].encode() + b"," + members + b"}" if good else b"{" + members + b"}"
    parts = (b'{"alg":"RS256",' + header + b"}", whole)
    signing_input = b".".join(map(jwt.utils.base64url_encode, parts))
    signature = RSA.sign(signing_input, PKCS1v15(), SHA256())
    return b".".join((signing_input, jwt.utils.base64url_encode(signature))).decode()


async def test_what_the_bad_tokens_are_made_with_makes_good_ones(provider: Provider) -> None:
    for token in (token_with_members(provider, b'"sub":"a"'), provider.token(iat=int(time.time()))):
        assert (await provider.call(token)).status_code == 200


async def test_both_kinds_of_key_are_known(provider: Provider) -> None:
    rsa_token, elliptic_token = provider.token(), provider.token(ELLIPTIC, key_id="elliptic", algorithm="ES256")
    for token in (rsa_token, elliptic_token):
        answer = await provider.call(token)
        assert answer.status_code == 200, answer.text
        assert answer.json()["plan_id"] == "hobby"
    assert provider.server.requests == 1


async def test_a_token_may_name_several_audiences(provider: Provider) -> None:
    assert (await provider.call(provider.token(aud=["elsewhere", AUDIENCE]))).status_code == 200


BAD: dict[str, Callable[[Provider], str]] = {
    "signed with the shared secret": lambda p: p.token(SECRET * 4, algorithm="HS256"),
    "signed with our very secret": lambda p: jwt.encode({"tenant_id": str(p.tenant.id)}, SECRET, algorithm="HS256"),
    "the public key taken for a secret": lambda p: forged(
        {"alg": "HS256", "kid": "rsa"}, {"tenant_id": str(p.tenant.id), "iss": ISSUER, "aud": AUDIENCE}, pem(RSA)
    ),
    "alg none": lambda p: p.token("", algorithm="none"),
    "another key under a known id": lambda p: p.token(OTHER),
    "an unknown key id": lambda p: p.token(OTHER, key_id="other"),
    "no key id": lambda p: p.token(key_id=None),
    "a key id that is a number": lambda _: forged({"alg": "RS256", "kid": 7}, {"tenant_id": "x"}, b"k" * 32),
    "a key id of 10,000 characters": lambda p: p.token(key_id="k" * 5_000),
    "an elliptic signature under the RSA id": lambda p: p.token(ELLIPTIC, algorithm="ES256"),
    "RS384": lambda p: p.token(algorithm="RS384"),
    "PS256": lambda p: p.token(algorithm="PS256"),
    "a key of its own": lambda p: p.token(OTHER, key_id="o", headers={"jwk": public_entry(OTHER, "o")}),
    "the address of its own keys": lambda p: p.token(OTHER, key_id="o", headers={"jku": p.server.url + "/evil"}),
    "a certificate's address": lambda p: p.token(OTHER, key_id="o", headers={"x5u": p.server.url + "/evil"}),
    "another issuer": lambda p: p.token(iss="https://evil.example.com/"),
    "no issuer": lambda p: p.token(iss=None),
    "the issuer without its slash": lambda p: p.token(iss=ISSUER.rstrip("/")),
    "another audience": lambda p: p.token(aud="elsewhere"),
    "no audience": lambda p: p.token(aud=None),
    "an audience that begins alike": lambda p: p.token(aud=AUDIENCE + "-admin"),
    "expired": lambda p: p.token(exp=int(time.time()) - 60),
    "not yet valid": lambda p: p.token(nbf=int(time.time()) + 60),
    "an id token for logging out": lambda p: p.token(headers={"typ": "logout+jwt"}),
    "no tenant": lambda p: p.token(tenant_id=None),
    "an unknown role": lambda p: p.token(role="superuser"),
    "role is a list": lambda p: p.token(role=["owner"]),
    "role is null": lambda p: token_with_null(p, "role"),
    "scope is null": lambda p: token_with_null(p, "scope"),
    "audience is null": lambda p: token_with_null(p, "aud"),
    "issuer is null": lambda p: token_with_null(p, "iss"),
    "an audience that is an object": lambda p: p.token(aud={AUDIENCE: True}),
    "audiences of which one is a number": lambda p: p.token(aud=[AUDIENCE, 7]),
    "exp as text": lambda p: p.token(exp=str(int(time.time()) + 300)),
    "exp of 400 digits": lambda p: p.token(exp=10**400),
    "iat before time began": lambda p: p.token(iat=-1),
    "a role twice": lambda p: token_with_members(p, b'"role":"viewer","role":"owner"'),
    "an issuer twice": lambda p: token_with_members(p, b'"iss":"https://evil.example.com/"'),
    "a key id twice": lambda p: token_with_members(p, b'"sub":"a"', header=b'"kid":"other","kid":"rsa"'),
    "an extension it calls critical": lambda p: p.token(headers={"crit": ["b64"], "b64": True}),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
async def test_a_bad_token_is_refused(provider: Provider, make: Callable[[Provider], str]) -> None:
    answer = await provider.call(make(provider))
    problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert provider.server.requests <= 1, "no address but the configured one is asked, and that once"


async def test_claims_wanted_by_setting(settings: Settings, tenant: TenantClient) -> None:
    own = settings.jwt.model_copy(update={"required_claims": ("sub", "jti"), "leeway_seconds": 0})
    verifier = TokenVerifier(settings.model_copy(update={"jwt": own}))
    token = jwt.encode({"tenant_id": str(tenant.id), "sub": "a"}, SECRET, algorithm="HS256")
    with pytest.raises(Exception, match="is not valid"):
        await verifier.verify(token)
    token = jwt.encode({"tenant_id": str(tenant.id), "sub": "a", "jti": "1"}, SECRET, algorithm="HS256")
    assert (await verifier.verify(token)).actor.id == "a"


class TestRotation:
    async def test_tokens_of_both_keys_work_while_the_provider_changes_over(
        self, provider: Provider, pass_time: Callable[[float], None]
    ) -> None:
        old = provider.token()
        assert (await provider.call(old)).status_code == 200
        provider.server.keys.append(public_entry(OTHER, "next"))
        pass_time(jwks.UNKNOWN_KEY_SECONDS + 1)
        answers = await asyncio.gather(
            *(provider.call(token) for token in (old, provider.token(OTHER, key_id="next")) * 20)
        )
        assert {answer.status_code for answer in answers} == {200}
        assert provider.server.requests == 2, "those who came at once waited for one fetch"

    async def test_a_withdrawn_key_ends(self, provider: Provider, pass_time: Callable[[float], None]) -> None:
        assert (await provider.call(provider.token())).status_code == 200
        provider.server.keys = [public_entry(ELLIPTIC, "elliptic")]
        pass_time(jwks.REFRESH_SECONDS + 1)
        await provider.call(provider.token())  # this call starts a fetch in the background
        await provider.keys.wait_for_fetch()
        problem(await provider.call(provider.token()), 401, "invalid_token")

    async def test_forged_key_ids_do_not_make_requests_of_their_number(self, provider: Provider) -> None:
        for number in range(20):
            problem(await provider.call(provider.token(OTHER, key_id=f"forged {number}")), 401, "invalid_token")
        assert provider.server.requests == 1


class TestOutage:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 500},
            {"status": 404},
            {"body": b"<html>"},
            {"body": b"[]"},
            {"body": b'{"keys": 7}'},
            {"body": b"[" * 100_000},
            {"body": b"\xff\xfe"},
            {"body": json.dumps({"keys": [{"kid": "rsa"}], "x": "x" * jwks.MAX_BYTES}).encode()},
            {"body": json.dumps({"keys": [{}] * (jwks.MAX_KEYS + 1)}).encode()},
        ],
        ids=lambda fault: " ".join(f"{name} {str(value)[:20]}" for name, value in fault.items()),
    )
    async def test_without_keys_it_is_our_fault_not_the_callers(
        self, provider: Provider, fault: dict[str, Any], pass_time: Callable[[float], None]
    ) -> None:
        good = dict(vars(provider.server))
        vars(provider.server).update(fault)
        answer = await provider.call(provider.token())
        problem(answer, 503, "identity_provider_unavailable")
        assert answer.headers["retry-after"]
        vars(provider.server).update({name: good[name] for name in fault})
        pass_time(jwks.UNKNOWN_KEY_SECONDS + 1)
        assert (await provider.call(provider.token())).status_code == 200

    async def test_it_cannot_send_us_elsewhere(self, provider: Provider) -> None:
        async with key_server() as elsewhere:
            elsewhere.keys = [public_entry(RSA, "rsa")]
            provider.server.status, provider.server.location = 302, elsewhere.url
            problem(await provider.call(provider.token()), 503, "identity_provider_unavailable")
            assert elsewhere.requests == 0

    async def test_known_keys_outlast_it_for_a_day(
        self, provider: Provider, pass_time: Callable[[float], None]
    ) -> None:
        assert (await provider.call(provider.token())).status_code == 200
        provider.server.status = 503
        for _ in range(3):
            pass_time(jwks.REFRESH_SECONDS + 1)
            assert (await provider.call(provider.token())).status_code == 200
            await provider.keys.wait_for_fetch()
        problem(await provider.call(provider.token(OTHER, key_id="new")), 503, "identity_provider_unavailable")
        pass_time(jwks.STALE_SECONDS)
        problem(await provider.call(provider.token()), 503, "identity_provider_unavailable")

    async def test_nobody_with_a_known_key_waits_for_a_slow_provider(
        self, provider: Provider, pass_time: Callable[[float], None]
    ) -> None:
        assert (await provider.call(provider.token())).status_code == 200
        provider.server.go_on = asyncio.Event()
        pass_time(jwks.REFRESH_SECONDS + 1)
        assert (await provider.call(provider.token())).status_code == 200

    async def test_an_outage_lifts_no_limit_of_the_address(
        self, settings: Settings, state: AppState, tenant: TenantClient
    ) -> None:
        rates = settings.rate_limit.model_copy(update={"anonymous_rpm": 2})
        own = settings.jwt.model_copy(update={"jwks_url": "http://127.0.0.1:1/keys"})
        limited = settings.model_copy(update={"jwt": own, "rate_limit": rates})
        token = jwt.encode({"tenant_id": str(tenant.id)}, RSA, algorithm="RS256", headers={"kid": "rsa"})
        keys = KeySet("http://127.0.0.1:1/keys")
        async with client_for(limited, state, keys=keys, address="192.0.2.77") as api:
            answers = [await api.get("/limits/current", headers=bearer(token)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [503, 503, 429, 429]

    async def test_nothing_listens_there(self, settings: Settings, state: AppState, tenant: TenantClient) -> None:
        own = settings.jwt.model_copy(update={"jwks_url": "http://127.0.0.1:1/keys"})
        keys = KeySet("http://127.0.0.1:1/keys")
        async with client_for(settings.model_copy(update={"jwt": own}), state, keys=keys) as api:
            token = jwt.encode({"tenant_id": str(tenant.id)}, RSA, algorithm="RS256", headers={"kid": "rsa"})
            problem(await api.get("/limits/current", headers=bearer(token)), 503, "identity_provider_unavailable")


async def test_what_a_key_set_should_not_hold_is_left_out(provider: Provider) -> None:
    weak, wrong_curve = rsa_key(1024), elliptic_key(ec.SECP384R1())
    provider.server.keys = [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "broken", "n": "x"},
        {"kty": "RSA"},
        public_entry(OTHER, "for encryption", use="enc"),
        public_entry(OTHER, "for PS256", alg="PS256"),
        public_entry(weak, "weak"),
        public_entry(wrong_curve, "wrong curve"),
        public_entry(RSA, "rsa"),
    ]
    for key_id in ("secret", "broken", "for encryption", "for PS256", "weak", "wrong curve"):
        assert await provider.keys.find(key_id) is None, key_id
    assert (await provider.call(provider.token())).status_code == 200


def test_nothing_is_signed_here_where_a_provider_does(settings: Settings) -> None:
    own = settings.jwt.model_copy(update={"jwks_url": "https://idp.example.com/keys"})
    with pytest.raises(ConfigurationError, match="identity provider"):
        sign_token(uuid4(), settings.model_copy(update={"jwt": own}))
