"""One unique row a key decides who runs; the others are told where the first result is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, CursorResult, Update, and_, delete, not_, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database, acting_for
from fastapi_ignite.infra.idempotency.claim import Claim
from fastapi_ignite.infra.idempotency.models import IdempotencyKey
from fastapi_ignite.infra.idempotency.errors import (
    MAX_ANSWER_BYTES,
    Answer,
    AnswerKeptError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    IdempotencyOutcomeUnknownError,
    Outcome,
)

WINDOW = timedelta(minutes=30)
LEASE = timedelta(seconds=60)
log = structlog.get_logger(__name__)


class IdempotencyStore:
    """Works in the caller's transaction: the claim and the first business write are one commit.

    A claim may be of another scope than the transaction's tenant, where a request makes its tenant.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, claim: Claim) -> None:
        """Take the key, or one whose window is over, or one whose owner died.

        A concurrent claim on the same key waits here for this transaction to end.

        Raises:
            IdempotencyConflictError: the key is taken; the detail says by what.
            IdempotencyKeyReusedError: the key is taken by another request.
            AnswerKeptError: the key is taken, and the claim wants the first answer.
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

    async def is_taken(self, claim: Claim) -> bool:
        """Whether the key stands for some request already; which one, only `claim` tells."""
        table = IdempotencyKey
        key = (table.tenant_id, table.route, table.key_sha256)
        statement = select(table.claim_id).where(
            tuple_(*key) == (claim.tenant_id, claim.route, claim.key_sha256), table.expires_at > clock.now()
        )
        async with acting_for(self._session, claim.tenant_id):
            return (await self._session.execute(statement)).first() is not None

    async def mark_paid(self, claim: Claim) -> None:
        """From this commit on the request may cost money at a provider: nobody takes it over from a dead owner."""
        await self._change(claim, update(IdempotencyKey).where(*_owned(claim)).values(paid=True))

    async def complete(self, claim: Claim, *, resource: str, answer: Answer | None = None) -> None:
        """The request had its effect; `resource` is the path where the result can be read.

        Raises:
            IdempotencyInProgressError: this owner was taken for dead and another runs; nothing of this may commit.
        """
        owned = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        done = owned.values(state="completed", resource=resource, **_kept(answer))
        if not await self._change(claim, done):
            raise IdempotencyInProgressError("Another request with this key has taken over.")

    async def keep_answer(self, claim: Claim, answer: Answer | None) -> None:
        """What a completed request answered in the end, in place of what was kept when it was completed.

        Null: nothing that a duplicate could be given.
        """
        completed = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "completed")
        await self._change(claim, completed.values(**{"answer_status": None, "answer": None, **_kept(answer)}))

    async def release(self, claim: Claim) -> None:
        """The request failed before any effect: the key is free again.

        Not where it was completed, and the answer to that COMMIT was lost.
        """
        running = delete(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        async with acting_for(self._session, claim.tenant_id):
            await self._session.execute(running)

    async def give_up(self, claim: Claim) -> None:
        """The request failed where it may have cost money: its duplicates are told so at once."""
        running = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        await self._change(claim, running.values(lease_until=clock.now()))

    async def extend_lease(self, claim: Claim) -> bool:
        """The owner lives. False: the key is no longer its own, or the request is over."""
        running = update(IdempotencyKey).where(*_owned(claim), IdempotencyKey.state == "in_progress")
        return await self._change(claim, running.values(lease_until=clock.now() + LEASE))

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
        if row.state == "completed":
            outcome = Outcome(row.fingerprint, row.resource, row.claimed_at, row.expires_at)
            if claim.replay and row.fingerprint == claim.fingerprint and row.answer is not None:
                raise AnswerKeptError(Answer(row.answer_status or 200, row.answer))
            raise outcome.refusal(claim.fingerprint)
        if row.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError("This Idempotency-Key was sent with another request; use a new key.")
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


def _kept(answer: Answer | None) -> dict[str, int | bytes]:
    """Nothing of an answer too large: its duplicates get the resource."""
    if answer is None or len(answer.body) > MAX_ANSWER_BYTES:
        return {}
    return {"answer_status": answer.status, "answer": answer.body}


@asynccontextmanager
async def owner_alive(database: Database, claim: Claim | None) -> AsyncGenerator[None]:
    """Extends the lease until the block ends: work under a claim, after the transaction that made it.

    A process that dies in it leaves the key to the next request a minute later.
    """
    if claim is None:
        yield
        return

    async def extend() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            try:
                async with database.tenant(claim.tenant_id) as session:
                    if not await IdempotencyStore(session).extend_lease(claim):
                        return
            except (SQLAlchemyError, OSError, CommitOutcomeUnknownError) as error:
                log.warning("idempotency lease not extended", error=type(error).__name__)

    extending = asyncio.create_task(extend())
    try:
        yield
    finally:
        extending.cancel()
        await asyncio.wait((extending,))


async def remove_expired(session: AsyncSession, *, limit: int) -> int:
    """Drop keys whose window is over; returns how many. Needs a system transaction."""
    table = IdempotencyKey
    key = (table.tenant_id, table.route, table.key_sha256)
    over = table.expires_at <= clock.now()
    expired = select(*key).where(over).limit(limit)
    # asked twice: of a row that is claimed anew while it is waited for, only what the DELETE itself asks is asked again
    result = await session.execute(delete(table).where(tuple_(*key).in_(expired), over))
    return result.rowcount if isinstance(result, CursorResult) else 0
