"""The message that sets role and tenant, for the driver's next message to PostgreSQL.

PostgreSQL answers when it receives a Sync, and everything between two of them is one transaction. The message here ends
without a Sync, and the driver's message for a query ends with one. So both take one round trip, and there is neither a
BEGIN nor a COMMIT to wait for. The driver expects only its own answer. It passes over that of the message, because this
has no rows. See https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
"""

from __future__ import annotations

import struct

_INT16 = struct.Struct("!h").pack
_INT32 = struct.Struct("!i").pack
_AS_TEXT = _INT16(0)
_NOTHING = b"\0"  # the name of the unnamed statement, and of the unnamed portal


def unanswered_query(sql: str) -> bytes:
    """Return the messages of the protocol that run a query that has neither parameters nor rows, without a Sync.

    They overwrite the connection's unnamed statement.
    """
    parse = _message(b"P", _NOTHING + sql.encode() + b"\0" + _INT16(0))
    bind = _message(b"B", _NOTHING + _NOTHING + _AS_TEXT + _INT16(0) + _AS_TEXT)
    execute = _message(b"E", _NOTHING + _INT32(0))
    return parse + bind + execute


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + _INT32(len(content) + 4) + content
