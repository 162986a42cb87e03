"""The claim that an `Idempotency-Key` makes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote_to_bytes
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from fastapi_ignite.core.api_key_format import is_admin_key
from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.core.security import InvalidTokenError, Principal, bearer_token
from fastapi_ignite.http.authentication import PrincipalDep
from fastapi_ignite.http.rate_limit import caller_address, caller_key
from fastapi_ignite.infra.idempotency import Answer, Claim, Outcome

MAX_IDEMPOTENCY_KEY = 255
REPLAY = "idempotency=replay"
# How long the caller waits for the answer is no part of what is asked for: who comes again may wait longer.
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
    """A key that cannot be one."""

    status = 400
    code = "idempotency_key_invalid"
    title = "Invalid Idempotency-Key"


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with a key, before its body is known. `recalled` is what Redis remembers of the key."""

    scope: UUID
    route: str
    key: str
    head: bytes
    replay: bool
    recalled: Outcome | None

    @property
    def unread(self) -> Claim:
        """The claim of the key alone, to ask whether it is taken."""
        return Claim.of(tenant_id=self.scope, route=self.route, key=self.key, request=b"")

    def claim(self, body: bytes) -> Claim:
        """The claim of the whole request.

        Raises:
            IdempotencyConflictError, IdempotencyKeyReusedError: Redis knows already; PostgreSQL need not be asked.
        """
        whole = b"\n".join((self.head, body))
        claim = Claim.of(tenant_id=self.scope, route=self.route, key=self.key, request=whole, replay=self.replay)
        known = self.recalled
        if known and known.seconds_left and not (claim.replay and claim.fingerprint == known.fingerprint):
            raise known.refusal(claim.fingerprint)
        return claim


def recall_key(request: Request, principal: Principal | None) -> str | None:
    """Where in Redis it stands what became of the key: beside the rate window, so that one script reads both."""
    keys = request.headers.getlist("idempotency-key")
    if request.method != "POST" or len(keys) != 1:
        return None
    named = "\n".join((str(_scope(request, principal)), _route(request), keys[0]))
    return f"done:{{{caller_key(request, principal)}}}:{hashlib.sha256(named.encode()).hexdigest()}"


def _route(request: Request) -> str:
    return f"{request.method} {request.scope['route'].path}"


def _scope(request: Request, principal: Principal | None) -> UUID:
    """The tenant; on public routes the admin key, proven or not, or the address."""
    if principal:
        return principal.tenant_id
    try:
        bearer = bearer_token(request.headers.getlist("authorization"))
    except InvalidTokenError:
        bearer = ""
    caller = f"admin:{bearer}" if is_admin_key(bearer) else f"address:{caller_address(request)}"
    # tenants' ids are of another version of UUID: no scope is ever a tenant
    return uuid5(NAMESPACE_URL, caller)


def _keyed(request: Request, principal: Principal | None, key: str | None) -> KeyedRequest | None:
    if key is None:
        return None
    visible = all("!" <= character <= "~" for character in key)
    if len(request.headers.getlist("idempotency-key")) > 1 or not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY or not visible:
        raise InvalidIdempotencyKeyError(
            f"Idempotency-Key takes one value of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters."
        )
    preferences = ",".join(request.headers.getlist("prefer")).replace(";", ",").replace('"', "").lower().split(",")
    return KeyedRequest(
        scope=_scope(request, principal),
        route=_route(request),
        key=key,
        # raw: `request.url` cannot hold a query that is not UTF-8
        head=b"\n".join((request.scope["path"].encode(), _fingerprinted(request.scope["query_string"]))),
        replay=REPLAY in {preference.replace(" ", "") for preference in preferences},
        recalled=getattr(request.state, "recalled", None),
    )


def _fingerprinted(query: bytes) -> bytes:
    """What of a raw query makes two requests the same."""
    fields = query.split(b"&")
    return b"&".join(
        field for field in fields if unquote_to_bytes(field.partition(b"=")[0]) not in UNFINGERPRINTED_PARAMETERS
    )


async def _tenants_key(
    request: Request, principal: PrincipalDep, idempotency_key: KeyHeader = None, prefer: PreferHeader = None
) -> KeyedRequest | None:
    del prefer  # may be sent several times, which one parameter does not hold
    return _keyed(request, principal, idempotency_key)


async def _callers_key(
    request: Request, idempotency_key: KeyHeader = None, prefer: PreferHeader = None
) -> KeyedRequest | None:
    del prefer
    return _keyed(request, None, idempotency_key)


KeyedDep = Annotated[KeyedRequest | None, Depends(_tenants_key)]


async def ensure_idempotent(request: Request, keyed: KeyedDep) -> Claim | None:
    """The claim this request wants to make; the service makes it in its first transaction."""
    return keyed.claim(await request.body()) if keyed else None


async def _ensure_idempotent_for_anyone(
    request: Request, keyed: Annotated[KeyedRequest | None, Depends(_callers_key)]
) -> Claim | None:
    return keyed.claim(await request.body()) if keyed else None


def answer_of(model: BaseModel, *, status: int = 200) -> Answer:
    """The answer that the model becomes, to be kept with the claim."""
    return Answer(status, model.model_dump_json(by_alias=True).encode())


ClaimDep = Annotated[Claim | None, Depends(ensure_idempotent)]
PublicClaimDep = Annotated[Claim | None, Depends(_ensure_idempotent_for_anyone)]
