"""What every operation passes: the rate limit before the body is read, and its answer to be kept after it is made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request, Response
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.security import Principal
from fastapi_ignite.http.deps import ClaimDep, SessionDep
from fastapi_ignite.http.idempotency import REPLAY, recall_key
from fastapi_ignite.http.rate_limit import check_rate_limit, route_cost
from fastapi_ignite.infra.breaker import patience
from fastapi_ignite.infra.idempotency import (
    Answer,
    AnswerKeptError,
    Claim,
    IdempotencyConflictError,
    IdempotencyStore,
    Outcome,
)
from fastapi_ignite.infra.idempotency.errors import IdempotencyKeyReusedError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
REDIS_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Claimed:
    session: AsyncSession
    claim: Claim
    resource: str
    keep_answer: bool


def idempotent(resource: str, *, keep_answer: bool = True) -> Any:
    """For `dependencies=[…]` of an operation whose only transaction is `SessionDep`'s: a key runs it once.

    The claim is the first statement of the transaction, the completion its last. `resource` is the path under `/v1`
    where the result is read; it may name fields of the answer and parameters of the path. `keep_answer=False` where the
    answer holds a secret: then nobody can have it a second time.
    """

    async def claim_first(request: Request, session: SessionDep, claim: ClaimDep) -> None:
        if claim:
            await IdempotencyStore(session).claim(claim)
            request.state.claimed = _Claimed(session, claim, resource, keep_answer)

    return Depends(claim_first)


async def admit(request: Request, principal: Principal | None, handler: Handler) -> Response:
    """The rate limit, the operation, and what its `Idempotency-Key` asks for.

    FastAPI commits `SessionDep` after this: what is written here is in the operation's own transaction.
    """
    recall = recall_key(request, principal)
    decision = await check_rate_limit(request, principal, cost=route_cost(request), recall=recall)
    if decision.recalled:
        request.state.recalled = Outcome.decode(decision.recalled)
    try:
        response = await handler(request)
    except AnswerKeptError as kept:
        return _replayed(kept.answer)
    except (IdempotencyConflictError, IdempotencyKeyReusedError) as refusal:
        if recall and refusal.outcome and not decision.degraded and not decision.recalled:
            await _remember(request, recall, refusal.outcome)
        raise
    claimed = getattr(request.state, "claimed", None)
    if isinstance(claimed, _Claimed):
        await _complete(request, claimed, response)
    return response


def _replayed(answer: Answer) -> Response:
    headers = {"Idempotent-Replayed": "true", "Preference-Applied": REPLAY}
    return Response(answer.body, answer.status, headers=headers, media_type="application/json")


async def _remember(request: Request, key: str, outcome: Outcome) -> None:
    """The next duplicate costs no transaction. Only what PostgreSQL has committed comes here, so Redis may lose it."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with patience(REDIS_SECONDS):
            await request.state.redis.set(key, outcome.encode(), ex=max(1, outcome.seconds_left))


async def _complete(request: Request, claimed: _Claimed, response: Response) -> None:
    body = bytes(response.body)
    fields = json.loads(body) if body else {}
    path = claimed.resource.format_map({**request.path_params, **(fields if isinstance(fields, dict) else {})})
    await IdempotencyStore(claimed.session).complete(
        claimed.claim,
        resource=f"{request.state.settings.app.api_prefix}/v1{path}",
        answer=Answer(response.status_code, body) if claimed.keep_answer else None,
    )
