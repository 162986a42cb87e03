"""Requests with an `Idempotency-Key` run once. The claims on keys are rows in PostgreSQL."""

from fastapi_ignite.infra.idempotency.claim import Claim, KeyedRequest, ResultAddress, StoredResponse
from fastapi_ignite.infra.idempotency.errors import (
    IdempotencyConflictError,
    IdempotencyOutcomeUnknownError,
    ResponseStoredError,
)
from fastapi_ignite.infra.idempotency.store import IdempotencyStore
from fastapi_ignite.infra.idempotency.work import IdempotentWork

__all__ = [
    "Claim",
    "IdempotencyConflictError",
    "IdempotencyOutcomeUnknownError",
    "IdempotencyStore",
    "IdempotentWork",
    "KeyedRequest",
    "ResponseStoredError",
    "ResultAddress",
    "StoredResponse",
]
