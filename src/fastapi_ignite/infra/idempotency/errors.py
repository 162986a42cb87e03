"""This module defines the errors that tell a duplicate what became of the first request with its key."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.infra.idempotency.claim import StoredResponse


class IdempotencyConflictError(IgniteError):
    """The key was used before, and this request was not run again."""

    status = 409
    code = "idempotency_duplicate"
    title = "Duplicate request"


class IdempotencyInProgressError(IdempotencyConflictError):
    """The first request with the key is still running."""

    code = "idempotency_in_progress"
    title = "The first request is still running"


class IdempotencyOutcomeUnknownError(IdempotencyConflictError):
    """The first request was cut off where it may have cost money already, so it is not run again by itself."""

    code = "idempotency_outcome_unknown"
    title = "The first request was cut off"


class IdempotencyKeyReusedError(IgniteError):
    """The key came with another request."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused for another request"


class ResponseStoredError(Exception):
    """The caller asked for the first response, and it is stored."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__()
        self.response = response
