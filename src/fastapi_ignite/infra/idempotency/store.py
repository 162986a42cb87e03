"""One unique row a key decides who runs; the others are told where the first result is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, delete, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.idempotency.models import IdempotencyKey

WINDOW = timedelta(minutes=30)
# Longer than any work under a claim may take (the reservation of a question lasts five minutes): whoever took a key
# over earlier would run, and charge, the same request a second time.
LEASE = timedelta(minutes=6)


class IdempotencyConflictError(IgniteError):
    """The key was used before: the request was not run again."""

    status = 409
    code = "idempotency_duplicate"
    title = "Duplicate request"


class IdempotencyInProgressError(IdempotencyConflictError):
    """The first request with the key is still running."""

    code = "idempotency_in_progress"
    title = "The first request is still running"


class IdempotencyKeyReusedError(IgniteError):
    """The key came with another body."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused for another request"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request asks to be: the first one with its key. `claim_id` proves ownership afterwards."""

    tenant_id: UUID
    route: str
    key_sha256: bytes
    fingerprint: bytes
    claim_id: UUID

    @classmethod
    def of(cls, *, tenant_id: UUID, route: str, key: str, request: bytes) -> Claim:
        """`request` is everything that makes two requests the same: path, query and body."""
        return cls(tenant_id, route, hashlib.sha256(key.encode()).digest(), hashlib.sha256(request).digest(), new_id())


class IdempotencyStore:
    """Works in the caller's transaction: the claim and the first business write are one commit."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, claim: Claim) -> None:
        """Take the key, or one whose window is over, or one whose owner died.

        A concurrent claim on the same key waits here for this transaction to end.

        Raises:
            IdempotencyConflictError: the key is taken; the detail says by what.
            IdempotencyKeyReusedError: the key is taken by another request body.
        """
        now = clock.now()
        values = {
            "fingerprint": claim.fingerprint,
            "state": "in_progress",
            "claim_id": claim.claim_id,
            "resource": None,
            "claimed_at": now,
            "lease_until": now + LEASE,
            "expires_at": now + WINDOW,
        }
        table = IdempotencyKey
        taken = await self._session.execute(
            insert(table)
            .values(tenant_id=claim.tenant_id, route=claim.route, key_sha256=claim.key_sha256, **values)
            .on_conflict_do_update(
                index_elements=[table.tenant_id, table.route, table.key_sha256],
                set_=values,
                where=or_(table.expires_at <= now, (table.state == "in_progress") & (table.lease_until <= now)),
            )
            .returning(table.claim_id)
        )
        if taken.first() is None:
            await self._refuse(claim, now)

    async def complete(self, claim: Claim, *, resource: str) -> None:
        """The request had its effect; `resource` is the path where the result can be read."""
        await self._session.execute(
            update(IdempotencyKey).where(*self._owned(claim)).values(state="completed", resource=resource)
        )

    async def release(self, claim: Claim) -> None:
        """The request failed before any effect: the key is free again."""
        await self._session.execute(delete(IdempotencyKey).where(*self._owned(claim)))

    async def _refuse(self, claim: Claim, now: datetime) -> None:
        row = (
            await self._session.execute(
                select(IdempotencyKey).where(
                    IdempotencyKey.tenant_id == claim.tenant_id,
                    IdempotencyKey.route == claim.route,
                    IdempotencyKey.key_sha256 == claim.key_sha256,
                )
            )
        ).scalar_one_or_none()
        if row is None:
            # released between the two statements: the caller may try again at once
            raise IdempotencyInProgressError(headers={"Retry-After": "1"})
        if row.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError("This Idempotency-Key was sent with another request; use a new key.")
        if row.state == "in_progress":
            raise IdempotencyInProgressError(headers={"Retry-After": "1"}, expires_at=row.expires_at.isoformat())
        raise IdempotencyConflictError(
            "A request with this Idempotency-Key was carried out already; its result is at `resource`.",
            resource=row.resource,
            first_seen_at=row.claimed_at.isoformat(),
            expires_at=row.expires_at.isoformat(),
            retry_after_seconds=max(0, int((row.expires_at - now).total_seconds())),
        )

    @staticmethod
    def _owned(claim: Claim) -> tuple[ColumnElement[bool], ...]:
        return (
            IdempotencyKey.tenant_id == claim.tenant_id,
            IdempotencyKey.route == claim.route,
            IdempotencyKey.key_sha256 == claim.key_sha256,
            IdempotencyKey.claim_id == claim.claim_id,
        )


async def remove_expired(session: AsyncSession, *, limit: int = 5000) -> int:
    """Drop keys whose window is over; returns how many. Needs a system transaction."""
    table = IdempotencyKey
    key = (table.tenant_id, table.route, table.key_sha256)
    expired = select(*key).where(table.expires_at <= clock.now()).limit(limit)
    result = await session.execute(delete(table).where(tuple_(*key).in_(expired)))
    return result.rowcount if isinstance(result, CursorResult) else 0
