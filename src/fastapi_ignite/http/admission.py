"""Runs an operation: the rate limit before the body is read, and its key completed after the response is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.security import Principal
from fastapi_ignite.http.deps import SessionDep
from fastapi_ignite.http.idempotency import REPLAY, ensure_idempotent
from fastapi_ignite.http.rate_limit import check_rate_limit, route_cost
from fastapi_ignite.infra.idempotency import Claim, IdempotencyStore, ResponseStoredError, StoredResponse

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class _Claimed:
    session: AsyncSession
    claim: Claim
    keep_answer: bool


def idempotent(path: str, *, keep_answer: bool = True) -> Any:
    """Run an operation once for its key; for `dependencies=[…]` where `SessionDep` is the only transaction.

    The claim is the first statement of the transaction and the completion its last one. `path` is that of
    `ensure_idempotent`. `keep_answer=False` is for a response with a secret: nobody can have it a second time.
    """
    ensured = ensure_idempotent(path)

    async def claim_first(request: Request, session: SessionDep, claim: Claim | None = ensured) -> None:
        if claim:
            await IdempotencyStore(session).claim(claim)
            request.state.claimed = _Claimed(session, claim, keep_answer)

    return Depends(claim_first)


async def admit(request: Request, principal: Principal | None, handler: Handler) -> Response:
    """Take the request's units of the rate limit, run the operation, and complete its key.

    FastAPI commits `SessionDep` after this, so the completion is in the operation's own transaction.
    """
    await check_rate_limit(request, principal, cost=route_cost(request))
    try:
        response = await handler(request)
    except ResponseStoredError as stored:
        return _replayed(stored.response)
    claimed = getattr(request.state, "claimed", None)
    if isinstance(claimed, _Claimed):
        await _complete(claimed, response)
    return response


def _replayed(response: StoredResponse) -> Response:
    headers = {"Idempotent-Replayed": "true", "Preference-Applied": REPLAY}
    return Response(response.body, response.status, headers=headers, media_type="application/json")


async def _complete(claimed: _Claimed, response: Response) -> None:
    body = bytes(response.body)
    fields = json.loads(body) if body else {}
    await IdempotencyStore(claimed.session).complete(
        claimed.claim,
        resource=claimed.claim.result.resource(fields if isinstance(fields, dict) else {}),
        response=StoredResponse(response.status_code, body) if claimed.keep_answer else None,
    )
