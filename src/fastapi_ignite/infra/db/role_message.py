"""Messages that set role and tenant, to be sent in front of the driver's next message to PostgreSQL.

PostgreSQL answers when it receives a Sync. A message here ends without a Sync, and the driver's message for a query has
one at its end. So both take one round trip. The driver expects only the answer to its own message. It passes over the
other one, because that has no rows. See https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
"""

from __future__ import annotations

import struct
from uuid import UUID

# jit is set here and not at connection time, because pgbouncer refuses unknown start-up parameters
SET_ROLE = "SELECT set_config('role', $1, true), set_config('app.tenant_id', $2, true), set_config('jit', 'off', true)"
# the settings have values, so this sets all of them and returns no row
_TAKE_ROLE = (
    "SELECT WHERE set_config('role', '{role}', true) IS NULL OR set_config('app.tenant_id', '{tenant}', true) IS NULL "
    "OR set_config('jit', 'off', true) IS NULL"
)
_INT16 = struct.Struct("!h").pack
_INT32 = struct.Struct("!i").pack
_AS_TEXT = _INT16(0)
_NOTHING = b"\0"  # the name of the unnamed statement, and of the unnamed portal


def role_message(role: str, tenant_id: UUID | None) -> bytes:
    """Return the message that sets role and tenant for the transaction of the next message.

    The settings are local to the transaction, so the next user of a pooled connection (or of pgbouncer) does not get
    them. They need a statement of their own: a role that is set inside a query has no effect on that query.
    """
    # `hex` exists only on a UUID, so no other text can get into the statement
    return _query(_TAKE_ROLE.format(role=role, tenant=tenant_id.hex if tenant_id else ""))


def begin_message(role: str, tenant_id: UUID | None) -> bytes:
    """Return the message that begins a transaction with this role and tenant."""
    return _BEGIN + role_message(role, tenant_id)


def _query(sql: str) -> bytes:
    """Return the messages of the protocol that run a query that has neither parameters nor rows.

    They overwrite the connection's unnamed statement.
    """
    parse = _message(b"P", _NOTHING + sql.encode() + b"\0" + _INT16(0))
    bind = _message(b"B", _NOTHING + _NOTHING + _AS_TEXT + _INT16(0) + _AS_TEXT)
    execute = _message(b"E", _NOTHING + _INT32(0))
    return parse + bind + execute


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + _INT32(len(content) + 4) + content


_BEGIN = _query("BEGIN")
