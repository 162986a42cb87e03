"""Claims on idempotency keys, kept in PostgreSQL."""

from fastapi_ignite.infra.idempotency.claim import Claim
from fastapi_ignite.infra.idempotency.errors import (
    Answer,
    AnswerKeptError,
    IdempotencyConflictError,
    IdempotencyOutcomeUnknownError,
    Outcome,
)
from fastapi_ignite.infra.idempotency.store import IdempotencyStore, owner_alive

__all__ = [
    "Answer",
    "AnswerKeptError",
    "Claim",
    "IdempotencyConflictError",
    "IdempotencyOutcomeUnknownError",
    "IdempotencyStore",
    "Outcome",
    "owner_alive",
]
