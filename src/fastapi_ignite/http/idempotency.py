"""The claim that an `Idempotency-Key` makes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.http.authentication import PrincipalDep
from fastapi_ignite.infra.idempotency import Claim

MAX_IDEMPOTENCY_KEY = 255


class InvalidIdempotencyKeyError(InvalidInputError):
    """A key that cannot be one."""

    status = 400
    code = "idempotency_key_invalid"
    title = "Invalid Idempotency-Key"


async def ensure_idempotent(
    request: Request,
    principal: PrincipalDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="1 to 255 visible ASCII characters; the key is good for one request in 30 minutes.",
            json_schema_extra={"minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!-~]+$"},
        ),
    ] = None,
) -> Claim | None:
    """The claim this request wants to make; the service makes it in its first transaction."""
    if idempotency_key is None:
        return None
    keys = request.headers.getlist("idempotency-key")
    visible = all("!" <= character <= "~" for character in idempotency_key)
    if len(keys) > 1 or not 1 <= len(idempotency_key) <= MAX_IDEMPOTENCY_KEY or not visible:
        raise InvalidIdempotencyKeyError(
            f"Idempotency-Key takes one value of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters."
        )
    route = request.scope["route"]
    # raw: `request.url` cannot hold a query that is not UTF-8
    whole = b"\n".join((request.scope["path"].encode(), request.scope["query_string"], await request.body()))
    return Claim.of(
        tenant_id=principal.tenant_id,
        route=f"{request.method} {route.path}",
        key=idempotency_key,
        request=whole,
    )


ClaimDep = Annotated[Claim | None, Depends(ensure_idempotent)]
