"""Finds the schema of the extension pgvector, for migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def schema_of_vector() -> str:
    """Return the quoted name of the schema that has the extension's types and operators."""
    schema = op.get_bind().scalar(
        sa.text(
            "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
            "WHERE extname = 'vector'"
        )
    )
    return str(schema)
