"""Property tests of correctly signed tokens: each is refused, or grants exactly what its claims say."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import time
from typing import Any
from uuid import UUID

from hypothesis import event, example, given
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from fastapi_ignite.core.config import default_settings
from fastapi_ignite.core.permissions import ROLE_SCOPES, Role, Scope
from fastapi_ignite.core.security import InvalidTokenError, Principal, TokenVerifier
from support.tokens import SECRET

TENANT = "2cb9e69e-6fe7-4f5c-8f4d-5a9c6a2bd5d4"
VERIFIER = TokenVerifier(default_settings())
FAR = 4_102_444_800  # a time in the year 2100

Members = list[tuple[str, Any]]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
scopes = st.lists(st.sampled_from([*Scope, "openid"]), max_size=4)
claims = st.one_of(
    st.tuples(st.just("role"), st.sampled_from([*Role]) | anything),
    st.tuples(st.just("scope"), scopes | scopes.map(" ".join) | anything),
    st.tuples(st.just("exp"), st.just(FAR) | anything),
    st.tuples(st.sampled_from(["nbf", "iat"]), st.just(0) | anything),
    st.tuples(st.just("sub"), st.text(max_size=10) | anything),
    st.tuples(st.just("tenant_id"), st.just(TENANT) | anything),
    st.tuples(st.sampled_from(["jti", "iss", "aud"]) | st.text(max_size=5), anything),
)
# Many payloads begin with a valid tenant, so that the later claims are checked too.
payloads = st.lists(claims, max_size=4).map(lambda members: [("tenant_id", TENANT), *members]) | st.lists(claims)
header_members = st.one_of(
    st.tuples(st.just("typ"), st.sampled_from(["JWT", "at+jwt", "logout+jwt"]) | anything),
    st.tuples(st.sampled_from(["alg", "kid", "crit", "b64", "cty", "jwk"]) | st.text(max_size=5), anything),
)
headers = st.lists(header_members, max_size=2).map(lambda members: [("alg", "HS256"), *members])
plain_header = st.just([("alg", "HS256")])


def encoded(members: Members) -> bytes:
    """Return a JSON object with these members in this order. A name may occur twice."""
    return ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}").encode()


def signed(header: bytes, payload: bytes) -> str:
    signing_input = base64url_encode(header) + b"." + base64url_encode(payload)
    signature = hmac.digest(SECRET.encode(), signing_input, hashlib.sha256)
    return (signing_input + b"." + base64url_encode(signature)).decode()


def verified(token: str) -> Principal | None:
    """Return the principal, or None if the token is refused. Any other exception fails the test."""
    try:
        return asyncio.run(VERIFIER.verify(token))
    except InvalidTokenError:
        return None


def rights(members: dict[str, Any]) -> set[Scope]:
    """Compute the scopes that the claims of an accepted token grant, without the code of the product."""
    role, named = members.get("role", "owner"), members.get("scope", list(Scope))
    assert isinstance(role, str)
    assert isinstance(named, (str, list))
    return {scope for scope in ROLE_SCOPES[Role(role)] if scope in (named.split() if isinstance(named, str) else named)}


def all_finite(value: object) -> bool:
    """Return whether JSON can represent every number of the value."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    return not isinstance(value, list) or all(map(all_finite, value))


@given(header=plain_header | headers, payload=payloads)
@example(header=[("alg", "HS256")], payload=[("tenant_id", TENANT)])
@example(header=[("alg", "HS256")], payload=[("tenant_id", TENANT), ("role", None)])
@example(header=[("alg", "HS256")], payload=[("tenant_id", TENANT), ("role", "viewer"), ("role", "owner")])
@example(header=[("alg", "HS256")], payload=[("tenant_id", TENANT), ("exp", 10**400)])
def test_a_token_grants_what_it_says_or_is_refused(header: Members, payload: Members) -> None:
    principal = verified(signed(encoded(header), encoded(payload)))
    event("accepted" if principal else "refused")
    if principal is None:
        return
    members = dict(payload)
    assert len(members) == len(payload)
    assert len(dict(header)) == len(header)
    assert all_finite(members)
    assert principal.tenant_id == UUID(members["tenant_id"])
    assert principal.scopes == rights(members)
    for name in ("exp", "nbf", "iat"):
        assert type(members.get(name, 0)) in (int, float)
    assert members.get("exp", FAR) > time.time() - default_settings().jwt.leeway_seconds
    assert isinstance(members.get("sub", ""), str)


@given(header=st.binary(max_size=60) | st.just(b'{"alg":"HS256"}'), payload=st.binary(max_size=60) | anything.map(repr))
def test_bytes_that_are_no_token_are_refused(header: bytes, payload: bytes | str) -> None:
    raw = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    assert verified(signed(header, raw)) is None


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    assert verified(text) is None


def test_a_good_token_is_accepted() -> None:
    """Without this test, the tokens above could all be refused for another reason."""
    payload = [("tenant_id", TENANT), ("role", "member"), ("scope", "files:read billing:write"), ("exp", FAR)]
    principal = verified(signed(b'{"alg":"HS256","typ":"at+jwt"}', encoded(payload)))
    assert principal is not None
    assert principal.scopes == {Scope.FILES_READ}
