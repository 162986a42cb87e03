"""Tests that the store decides any sequence of claims, ends, crashes and waits as a dictionary does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test

from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import (
    Claim,
    IdempotencyConflictError,
    IdempotencyOutcomeUnknownError,
    IdempotencyStore,
    ResponseStoredError,
    StoredResponse,
)
from fastapi_ignite.infra.idempotency.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from fastapi_ignite.infra.services import ServiceAddresses

LEASE, WINDOW = timedelta(minutes=1), timedelta(minutes=30)
RESPONSE = StoredResponse(200, b"{}")


@dataclass
class Expected:
    """Holds what the model knows of a key."""

    claim: Claim
    lease_until: datetime
    expires_at: datetime
    paid: bool = False
    done: bool = False


class KeysMachine(RuleBasedStateMachine):
    """Compares the store with a dictionary, for one tenant with two keys and two bodies."""

    runner: asyncio.Runner
    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.tenant_id = new_id()
        self.keys: dict[str, Expected] = {}
        self.now = clock.now()
        self.moved = patch.object(clock, "now", lambda: self.now)
        self.moved.start()

    claims = Bundle("claims")

    def transaction(self, work: Callable[[IdempotencyStore], Awaitable[object]]) -> type[Exception] | None:
        """Run the work in a transaction, and return the type of its refusal, or None."""

        async def run() -> None:
            async with self.database.tenant(self.tenant_id) as session:
                await work(IdempotencyStore(session))

        try:
            self.runner.run(run())
        except (IdempotencyConflictError, IdempotencyKeyReusedError, ResponseStoredError) as refusal:
            return type(refusal)
        return None

    @rule(target=claims, key=st.sampled_from("ab"), body=st.sampled_from("xy"), replay=st.booleans())
    def claim(self, key: str, body: str, *, replay: bool) -> object:
        claim = Claim.of(tenant_id=self.tenant_id, route="POST /", key=key, request=body.encode(), replay=replay)
        expected = self.refusal(self.keys.get(key), claim)
        assert self.transaction(lambda store: store.claim(claim)) is expected
        if expected:
            return multiple()
        self.keys[key] = Expected(claim, self.now + LEASE, self.now + WINDOW)
        return (key, claim)

    def refusal(self, known: Expected | None, claim: Claim) -> type[Exception] | None:
        if known is None or known.expires_at <= self.now:
            return None
        lost = not known.done and known.lease_until <= self.now
        if lost and not known.paid:
            return None
        if known.claim.fingerprint != claim.fingerprint:
            return IdempotencyKeyReusedError
        if known.done:
            return ResponseStoredError if claim.replay else IdempotencyConflictError
        return IdempotencyOutcomeUnknownError if lost else IdempotencyInProgressError

    def held(self, pair: tuple[str, Claim]) -> Expected | None:
        known = self.keys.get(pair[0])
        return known if known and known.claim.claim_id == pair[1].claim_id else None

    @rule(pair=claims)
    def complete(self, pair: tuple[str, Claim]) -> None:
        known = self.held(pair)
        owned = known is not None and not known.done
        refused = self.transaction(lambda store: store.complete(pair[1], resource="/x", response=RESPONSE))
        assert refused is (None if owned else IdempotencyInProgressError)
        if known and owned:
            known.done = True

    @rule(pair=consumes(claims))
    def release(self, pair: tuple[str, Claim]) -> None:
        self.transaction(lambda store: store.release(pair[1]))
        if (known := self.held(pair)) and not known.done:
            del self.keys[pair[0]]

    @rule(pair=claims)
    def mark_paid(self, pair: tuple[str, Claim]) -> None:
        self.transaction(lambda store: store.mark_paid(pair[1]))
        if known := self.held(pair):
            known.paid = True

    @rule(pair=claims, over=st.booleans())
    def extend_or_give_up(self, pair: tuple[str, Claim], *, over: bool) -> None:
        self.transaction(lambda store: store.give_up(pair[1]) if over else store.extend_lease(pair[1]))
        known = self.held(pair)
        if known and not known.done:
            known.lease_until = self.now + (timedelta() if over else LEASE)

    @rule(seconds=st.sampled_from([1, 59, 60, 61, 1739, 1799, 1800]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def teardown(self) -> None:
        self.moved.stop()


def test_any_sequence_ends_as_in_a_dictionary(addresses: ServiceAddresses) -> None:
    with asyncio.Runner() as runner:
        database = Database(addresses.api_url, pool_size=1)
        machine = type("Machine", (KeysMachine,), {"runner": runner, "database": database})
        run_state_machine_as_test(machine, settings=settings(stateful_step_count=15))
        runner.run(database.close())
