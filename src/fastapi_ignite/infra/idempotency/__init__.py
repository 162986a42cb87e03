"""Claims on idempotency keys, kept in PostgreSQL."""

from fastapi_ignite.infra.idempotency.store import Claim, IdempotencyConflictError, IdempotencyStore

__all__ = ["Claim", "IdempotencyConflictError", "IdempotencyStore"]
