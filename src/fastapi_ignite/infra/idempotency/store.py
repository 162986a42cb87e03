"""The rows of idempotency keys. A unique row decides who runs; the others are told where the first result is."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, Update, and_, delete, not_, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import acting_for
from fastapi_ignite.infra.idempotency.claim import Claim, KeyedRequest, StoredResponse
from fastapi_ignite.infra.idempotency.errors import (
    IdempotencyConflictError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    IdempotencyOutcomeUnknownError,
    ResponseStoredError,
)
from fastapi_ignite.infra.idempotency.models import IdempotencyKey

WINDOW = timedelta(minutes=30)
LEASE = timedelta(seconds=60)
MAX_RESPONSE_BYTES = 256 * 1024


class IdempotencyStore:
    """Claims keys in the caller's transaction, so that the claim and the first business write are one commit.

    The scope of a claim may differ from the transaction's tenant, as where a request makes its tenant.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, claim: Claim) -> None:
        """Take a key that is free, whose window is over, or whose owner died.

        A concurrent claim on the same key waits here for this transaction to end.

        Raises:
            IdempotencyConflictError: The key is taken; the detail says by what.
            IdempotencyKeyReusedError: The key is taken by another request.
            ResponseStoredError: The key is taken, and the claim wants the first response.
        """
        now = clock.now()
        table = IdempotencyKey
        values = {
            "fingerprint": claim.fingerprint,
            "state": "in_progress",
            "claim_id": claim.claim_id,
            "paid": False,
            "resource": None,
            "answer_status": None,
            "answer": None,
            "claimed_at": now,
            "lease_until": now + LEASE,
            "expires_at": now + WINDOW,
        }
        abandoned = and_(table.state == "in_progress", not_(table.paid), table.lease_until <= now)
        statement = (
            insert(table)
            .values(tenant_id=claim.tenant_id, route=claim.route, key_sha256=claim.key_sha256, **values)
            .on_conflict_do_update(
                index_elements=[table.tenant_id, table.route, table.key_sha256],
                set_=values,
                where=or_(table.expires_at <= now, abandoned),
            )
            .returning(table.claim_id)
        )
        async with acting_for(self._session, claim.tenant_id):
            if (await self._session.execute(statement)).first() is None:
                await self._refuse(claim, now)

    async def is_taken(self, request: KeyedRequest) -> bool:
        """Tell whether the key stands for some request already, which may be this one or another."""
        claim = request.claim(b"")
        table = IdempotencyKey
        key = (table.tenant_id, table.route, table.key_sha256)
        statement = select(table.claim_id).where(
            tuple_(*key) == (claim.tenant_id, claim.route, claim.key_sha256), table.expires_at > clock.now()
        )
        async with acting_for(self._session, claim.tenant_id):
            return (await self._session.execute(statement)).first() is not None

    async def mark_paid(self, claim: Claim) -> None:
        """Note that the request may cost money from this commit on, so that nobody takes it over from a dead owner."""
        await self._change(claim, update(IdempotencyKey).where(*_owned(claim)).values(paid=True))

    async def complete(self, claim: Claim, *, resource: str, response: StoredResponse | None = None) -> None:
        """Note that the request had its effect. `resource` is the path where the result can be read.

        Raises:
            IdempotencyInProgressError: This owner was taken for dead and another one runs; nothing may be committed.
        """
        owned = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        done = owned.values(state="completed", resource=resource, **_stored(response))
        if not await self._change(claim, done):
            raise IdempotencyInProgressError("Another request with this key has taken over.")

    async def replace_response(self, claim: Claim, response: StoredResponse | None) -> None:
        """Replace the response that was stored at the completion. With None, duplicates get no response."""
        completed = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "completed")
        await self._change(claim, completed.values(**{"answer_status": None, "answer": None, **_stored(response)}))

    async def release(self, claim: Claim) -> None:
        """Free the key of a request that failed before any effect.

        A completed key stays: the answer to that COMMIT may have been lost.
        """
        running = delete(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        async with acting_for(self._session, claim.tenant_id):
            await self._session.execute(running)

    async def give_up(self, claim: Claim) -> None:
        """Keep the key of a request that failed where it may have cost money; duplicates are told so at once."""
        running = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        await self._change(claim, running.values(lease_until=clock.now()))

    async def extend_lease(self, claim: Claim) -> None:
        """Say that the owner lives. Nothing happens to a key that is another owner's or completed."""
        running = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        await self._change(claim, running.values(lease_until=clock.now() + LEASE))

    async def _change(self, claim: Claim, statement: Update) -> bool:
        async with acting_for(self._session, claim.tenant_id):
            return (await self._session.execute(statement.returning(IdempotencyKey.claim_id))).first() is not None

    async def _refuse(self, claim: Claim, now: datetime) -> None:
        row = await self._session.get(
            IdempotencyKey,
            (claim.tenant_id, claim.route, claim.key_sha256),
            options=[undefer(IdempotencyKey.answer)] if claim.replay else [],
            populate_existing=True,
        )
        if row is None:
            # released between the two statements: the caller may try again at once
            raise IdempotencyInProgressError(headers={"Retry-After": "1"})
        if row.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError("This Idempotency-Key was sent with another request; use a new key.")
        if row.state == "completed":
            if claim.replay and row.answer is not None:
                raise ResponseStoredError(StoredResponse(row.answer_status or 200, row.answer))
            raise IdempotencyConflictError(
                "A request with this Idempotency-Key was carried out already; its result is at `resource`.",
                resource=row.resource,
                first_seen_at=row.claimed_at.isoformat(),
                expires_at=row.expires_at.isoformat(),
                retry_after_seconds=max(0, int((row.expires_at - clock.now()).total_seconds())),
            )
        if row.paid and row.lease_until <= now:
            raise IdempotencyOutcomeUnknownError(
                "The first request was cut off and may have cost money; use a new key to run it again.",
                first_seen_at=row.claimed_at.isoformat(),
                expires_at=row.expires_at.isoformat(),
            )
        raise IdempotencyInProgressError(headers={"Retry-After": "1"}, expires_at=row.expires_at.isoformat())


def _owned(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.tenant_id == claim.tenant_id,
        IdempotencyKey.route == claim.route,
        IdempotencyKey.key_sha256 == claim.key_sha256,
        IdempotencyKey.claim_id == claim.claim_id,
    )


def _stored(response: StoredResponse | None) -> dict[str, int | bytes]:
    """Return the columns of a response; none of one that is too large, whose duplicates get the resource."""
    if response is None or len(response.body) > MAX_RESPONSE_BYTES:
        return {}
    return {"answer_status": response.status, "answer": response.body}


async def remove_expired(session: AsyncSession, *, limit: int) -> int:
    """Delete keys whose window is over, and return how many. It needs a system transaction."""
    table = IdempotencyKey
    key = (table.tenant_id, table.route, table.key_sha256)
    over = table.expires_at <= clock.now()
    expired = select(*key).where(over).limit(limit)
    # asked twice: of a row that is claimed anew while it is waited for, only what the DELETE itself asks is asked again
    result = await session.execute(delete(table).where(tuple_(*key).in_(expired), over))
    return result.rowcount if isinstance(result, CursorResult) else 0
