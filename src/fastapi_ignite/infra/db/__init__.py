"""PostgreSQL: the declarative base, and transactions that run with a role and a tenant."""

from fastapi_ignite.infra.db.after_commit import after_commit
from fastapi_ignite.infra.db.base import Base, TenantScoped, Timestamped
from fastapi_ignite.infra.db.commit_outcome import CommitOutcomeUnknownError
from fastapi_ignite.infra.db.fixed_statement import FixedStatement
from fastapi_ignite.infra.db.role_connection import Record
from fastapi_ignite.infra.db.session import Database, acting_for
from fastapi_ignite.infra.db.stored_keys import StoredKey

__all__ = [
    "Base",
    "CommitOutcomeUnknownError",
    "Database",
    "FixedStatement",
    "Record",
    "StoredKey",
    "TenantScoped",
    "Timestamped",
    "acting_for",
    "after_commit",
]
