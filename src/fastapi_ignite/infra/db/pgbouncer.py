"""Connect through pgbouncer in transaction mode, where each transaction may use another server connection."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import URL

from fastapi_ignite.infra.db.role_connection import RoleConnection

_MARK = "pgbouncer"


class PgbouncerConnection(RoleConnection):
    """A connection through pgbouncer."""

    __slots__ = ()
    names_statements: ClassVar[bool] = False


# Statements have no name, so they are parsed at each use. A named one would stay on its server connection, where the
# next transaction of this client may not find it, and where the same name of another client conflicts with it.
_NO_PREPARED_STATEMENTS = {
    "connection_class": PgbouncerConnection,
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}


def through_pgbouncer(url: URL, *, host: str, port: int) -> URL:
    """Return the URL of the same login and database through this pgbouncer."""
    return url.set(host=host, port=port).update_query_dict({_MARK: "true"})


def pgbouncer_options(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL for the driver, and the options that a connection through pgbouncer needs."""
    if _MARK not in url.query:
        return url, {}
    return url.difference_update_query([_MARK]), _NO_PREPARED_STATEMENTS
