"""This module defines the errors that tell a duplicate what became of the first request with its key."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError
from fastapi_ignite.infra.idempotency.claim import StoredResponse


class IdempotencyConflictError(IgniteError):
    """The key was used before, and this request was not run again."""

    status = 409
    code = "idempotency_duplicate"
    title = "Duplicate request"
    example = Example(
        "A request with this Idempotency-Key was carried out already; its result is at `resource`.",
        resource="/api/v1/query/messages/0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
        first_seen_at="2030-01-31T09:00:00+00:00",
        expires_at="2030-01-31T09:30:00+00:00",
        retry_after_seconds=1740,
    )


class IdempotencyInProgressError(IdempotencyConflictError):
    """The first request with the key is still running."""

    code = "idempotency_in_progress"
    title = "The first request is still running"
    example = Example(expires_at="2030-01-31T09:30:00+00:00")


class IdempotencyOutcomeUnknownError(IdempotencyConflictError):
    """The first request was cut off where it may have cost money already, so it is not run again by itself."""

    code = "idempotency_outcome_unknown"
    title = "The first request was cut off"
    example = Example(
        "The first request was cut off and may have cost money; use a new key to run it again.",
        first_seen_at="2030-01-31T09:00:00+00:00",
        expires_at="2030-01-31T09:30:00+00:00",
    )


class IdempotencyKeyReusedError(IgniteError):
    """The key came with another request."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused for another request"
    example = Example("This Idempotency-Key was sent with another request; use a new key.")


class ResponseStoredError(Exception):
    """The caller asked for the first response, and it is stored."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__()
        self.response = response
