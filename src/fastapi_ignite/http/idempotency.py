"""Reads the `Idempotency-Key` of a request and makes the claim that its operation begins with."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote_to_bytes
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Depends, Header, Request

from fastapi_ignite.core.api_key_format import is_admin_key
from fastapi_ignite.core.errors import Example, InvalidInputError
from fastapi_ignite.core.security import InvalidTokenError, Principal, bearer_token
from fastapi_ignite.http.authentication import PrincipalDep
from fastapi_ignite.http.rate_limit import caller_address
from fastapi_ignite.infra.idempotency import Claim, KeyedRequest, ResultAddress

MAX_IDEMPOTENCY_KEY = 255
REPLAY = "idempotency=replay"
# How long the caller waits is not part of the request: the second time, the caller may wait longer.
UNFINGERPRINTED_PARAMETERS = frozenset({b"wait_seconds"})

KeyHeader = Annotated[
    str | None,
    Header(
        description="1 to 255 visible ASCII characters; the key is good for one request in 30 minutes.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!-~]+$"},
    ),
]
PreferHeader = Annotated[
    str | None,
    Header(
        max_length=1000,
        description="`idempotency=replay`: a duplicate gets the first answer and `Idempotent-Replayed`, not 409.",
    ),
]


class InvalidIdempotencyKeyError(InvalidInputError):
    """The header holds no valid key."""

    status = 400
    code = "idempotency_key_invalid"
    title = "Invalid Idempotency-Key"
    example = Example("Idempotency-Key must be one value of 1 to 255 visible ASCII characters.")


def _scope(request: Request, principal: Principal | None) -> UUID:
    """Return the tenant's id; on public routes an id made of the admin key, proven or not, or of the address."""
    if principal:
        return principal.tenant_id
    try:
        bearer = bearer_token(request.headers.getlist("authorization"))
    except InvalidTokenError:
        bearer = ""
    caller = f"admin:{bearer}" if is_admin_key(bearer) else f"address:{caller_address(request)}"
    # version 5, where tenants' ids are of version 7: this scope is never a tenant
    return uuid5(NAMESPACE_URL, caller)


def _keyed(request: Request, principal: Principal | None, key: str | None, path: str) -> KeyedRequest | None:
    if key is None:
        return None
    route = request.scope["route"]
    visible = all("!" <= character <= "~" for character in key)
    if len(request.headers.getlist("idempotency-key")) > 1 or not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY or not visible:
        raise InvalidIdempotencyKeyError(
            f"Idempotency-Key must be one value of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters."
        )
    preferences = ",".join(request.headers.getlist("prefer")).replace(";", ",").replace('"', "").lower().split(",")
    return KeyedRequest(
        scope=_scope(request, principal),
        route=f"{request.method} {route.path}",
        key=key,
        # raw: `request.url` cannot hold a query that is not UTF-8
        head=b"\n".join((request.scope["path"].encode(), _fingerprinted(request.scope["query_string"]))),
        replay=REPLAY in {preference.replace(" ", "") for preference in preferences},
        result=ResultAddress(
            path=f"{request.state.settings.app.api_prefix}/v1{path}",
            parameters=request.path_params,
            status=route.status_code or 200,
        ),
    )


def _fingerprinted(query: bytes) -> bytes:
    """Return the parts of a raw query that make two requests the same."""
    fields = query.split(b"&")
    return b"&".join(
        field for field in fields if unquote_to_bytes(field.partition(b"=")[0]) not in UNFINGERPRINTED_PARAMETERS
    )


def keyed_request(path: str, *, public: bool = False) -> Any:
    """Return the dependency that gives the request's key, or None, to an operation that reads its own body.

    `path` is the path under `/v1` where the result is read; see `ensure_idempotent`.
    """

    async def of_tenant(
        request: Request, principal: PrincipalDep, idempotency_key: KeyHeader = None, prefer: PreferHeader = None
    ) -> KeyedRequest | None:
        del prefer  # a caller may send several, which one parameter does not hold
        return _keyed(request, principal, idempotency_key, path)

    async def of_anyone(
        request: Request, idempotency_key: KeyHeader = None, prefer: PreferHeader = None
    ) -> KeyedRequest | None:
        del prefer
        return _keyed(request, None, idempotency_key, path)

    return Depends(of_anyone if public else of_tenant)


def ensure_idempotent(path: str, *, public: bool = False) -> Any:
    """Return the dependency that gives an operation the claim of its request, or None without a key.

    `path` is the path under `/v1` where the result is read. It may name parameters of the request's path and fields of
    the response, as in `/notes/{id}`. The service claims in its first transaction; see `IdempotentWork`.
    `public` is for operations without a token.
    """
    key = keyed_request(path, public=public)

    async def claim(request: Request, keyed: KeyedRequest | None = key) -> Claim | None:
        return keyed.claim(await request.body()) if keyed else None

    return Depends(claim)
