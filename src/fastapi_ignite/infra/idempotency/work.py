"""Work under an `Idempotency-Key`, from the claim in its first transaction to the completion in its last."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import structlog
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database
from fastapi_ignite.infra.idempotency import store
from fastapi_ignite.infra.idempotency.claim import Claim
from fastapi_ignite.infra.idempotency.store import IdempotencyStore

DATABASE_AWAY = (SQLAlchemyError, OSError, CommitOutcomeUnknownError)
log = structlog.get_logger(__name__)


class IdempotentWork:
    """Does the work of a request once for its key; without a claim every method does nothing.

    Call `begin` in the first transaction of the work and `complete` in the last one, which may be the same. The block
    of `async with` covers the work up to the last transaction:

    - While it runs, the lease is extended. If the process dies, another request may take the key a minute later.
    - If it raises, the key is free again. If money may have been spent at a provider, the key stays taken instead, and
      duplicates are told so.
    - After a `CommitOutcomeUnknownError` nothing is changed: the key may be completed. If it is not, its lease ends.

    `spent` is for the work to set once a provider has certainly been paid.
    """

    def __init__(self, database: Database, claim: Claim | None) -> None:
        self._database = database
        self._claim = claim
        self._begun = False
        self._paid = False
        self._extending: asyncio.Task[None] | None = None
        self.spent = False

    @property
    def is_keyed(self) -> bool:
        """Whether the caller can come back for the result."""
        return self._claim is not None

    async def begin(self, session: AsyncSession) -> None:
        """Claim the key.

        Raises:
            IdempotencyConflictError: The key is taken; the detail says by what.
            IdempotencyKeyReusedError: The key is taken by another request.
            ResponseStoredError: The key is taken, and the caller wants the first response.
        """
        if self._claim:
            await IdempotencyStore(session).claim(self._claim)
            self._begun = True

    async def mark_paid(self, session: AsyncSession) -> None:
        """Note that the work may cost money from this transaction's commit on."""
        if self._claim:
            await IdempotencyStore(session).mark_paid(self._claim)
            self._paid = True

    async def complete(self, session: AsyncSession, result: BaseModel) -> None:
        """Note that the work is done, and store the result for duplicates.

        Raises:
            IdempotencyInProgressError: This process was taken for dead and another one runs; nothing may be committed.
        """
        if self._claim:
            address = self._claim.result
            await IdempotencyStore(session).complete(
                self._claim, resource=address.resource(dict(result)), response=address.response(result)
            )

    async def replace_result(self, result: BaseModel | None) -> None:
        """Store what the completed work answered in the end. With None, duplicates get no response."""
        if self._claim:
            response = self._claim.result.response(result) if result else None
            async with self._database.tenant(self._claim.tenant_id) as session:
                await IdempotencyStore(session).replace_response(self._claim, response)

    async def __aenter__(self) -> Self:
        if self._claim:
            self._extending = asyncio.create_task(self._extend_lease(self._claim))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._extending:
            self._extending.cancel()
            await asyncio.wait((self._extending,))
        if error and self._claim and self._begun and not isinstance(error, CommitOutcomeUnknownError):
            # a provider raises `UnavailableError` only where nothing was spent
            spent = self.spent or (self._paid and not isinstance(error, UnavailableError))
            await self._fail(self._claim, spent=spent)

    async def _fail(self, claim: Claim, *, spent: bool) -> None:
        try:
            async with self._database.tenant(claim.tenant_id) as session:
                keys = IdempotencyStore(session)
                await (keys.give_up(claim) if spent else keys.release(claim))
        except DATABASE_AWAY as error:  # the caller is told of the first error; the lease ends by itself
            log.warning("idempotency key not released", error=type(error).__name__)

    async def _extend_lease(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(store.LEASE.total_seconds() / 3)
            try:
                async with self._database.tenant(claim.tenant_id) as session:
                    await IdempotencyStore(session).extend_lease(claim)
            except DATABASE_AWAY as error:
                log.warning("idempotency lease not extended", error=type(error).__name__)
