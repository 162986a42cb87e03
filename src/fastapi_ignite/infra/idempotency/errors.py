"""What is known of a request that was carried out, and what its duplicates are told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError

MAX_ANSWER_BYTES = 256 * 1024


class IdempotencyConflictError(IgniteError):
    """The key was used before: the request was not run again. `outcome` is what became of the first one."""

    status = 409
    code = "idempotency_duplicate"
    title = "Duplicate request"
    outcome: Outcome | None = None


class IdempotencyInProgressError(IdempotencyConflictError):
    """The first request with the key is still running."""

    code = "idempotency_in_progress"
    title = "The first request is still running"


class IdempotencyOutcomeUnknownError(IdempotencyConflictError):
    """The first request was cut off where it may have cost money already: it is not run again by itself."""

    code = "idempotency_outcome_unknown"
    title = "The first request was cut off"


class IdempotencyKeyReusedError(IgniteError):
    """The key came with another request."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused for another request"
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was sent: JSON, to the byte."""

    status: int
    body: bytes


class AnswerKeptError(Exception):
    """The caller wanted the first answer, and here it is."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a request that was carried out; final until it expires."""

    fingerprint: bytes
    resource: str | None
    claimed_at: datetime
    expires_at: datetime

    _FORMAT: ClassVar[int] = 1

    def refusal(self, fingerprint: bytes) -> IdempotencyConflictError | IdempotencyKeyReusedError:
        """What a later request with the key is told."""
        refusal: IdempotencyConflictError | IdempotencyKeyReusedError
        if fingerprint != self.fingerprint:
            refusal = IdempotencyKeyReusedError("This Idempotency-Key was sent with another request; use a new key.")
        else:
            refusal = IdempotencyConflictError(
                "A request with this Idempotency-Key was carried out already; its result is at `resource`.",
                resource=self.resource,
                first_seen_at=self.claimed_at.isoformat(),
                expires_at=self.expires_at.isoformat(),
                retry_after_seconds=self.seconds_left,
            )
        refusal.outcome = self
        return refusal

    @property
    def seconds_left(self) -> int:
        """Until the key is free; 0 when it is."""
        return max(0, int((self.expires_at - clock.now()).total_seconds()))

    def encode(self) -> bytes:
        """For `decode`."""
        moments = (self.claimed_at.isoformat(), self.expires_at.isoformat())
        return json.dumps([self._FORMAT, self.fingerprint.hex(), self.resource, *moments]).encode()

    @classmethod
    def decode(cls, data: bytes) -> Outcome | None:
        """Nothing for what another version of the program wrote."""
        try:
            version, fingerprint, resource, claimed_at, expires_at = json.loads(data)
            moments = (datetime.fromisoformat(claimed_at), datetime.fromisoformat(expires_at))
            return cls(bytes.fromhex(fingerprint), resource, *moments) if version == cls._FORMAT else None
        except (ValueError, TypeError):
            return None
