"""Connections through pgbouncer in transaction mode: each transaction may meet another server connection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL

_MARK = "pgbouncer"

# Statements without a name, parsed again with each use: a named one would stay on a server connection where the next
# transaction of this client does not find it, and another client's of the same name would be in its way.
_NO_PREPARED_STATEMENTS = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}


def through_pgbouncer(url: URL, *, host: str, port: int) -> URL:
    """The same login and database by way of this pgbouncer."""
    return url.set(host=host, port=port).update_query_dict({_MARK: "true"})


def pgbouncer_options(url: URL) -> tuple[URL, dict[str, Any]]:
    """The address for the driver, and the options that such a connection needs."""
    if _MARK not in url.query:
        return url, {}
    return url.difference_update_query([_MARK]), _NO_PREPARED_STATEMENTS
