"""Connections of asyncpg that begin a transaction and set its role and tenant in one round trip."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

import asyncpg

from fastapi_ignite.infra.db.commit_outcome import IDENTIFY, TransactionId

# jit is set here and not at connection time, because pgbouncer refuses unknown start-up parameters
_TAKE_ROLE = (
    "SELECT set_config('role', {role}, true), set_config('app.tenant_id', {tenant}, true), "
    "set_config('jit', 'off', true)"
)
SET_ROLE = _TAKE_ROLE.format(role="$1", tenant="$2")
_BEGIN = f"BEGIN; {_TAKE_ROLE}"


def begin_statement(role: str, tenant_id: UUID | None) -> str:
    """Return the SQL of one message that begins a transaction with this role and tenant.

    The settings are local to the transaction, so the next user of a pooled connection (or of pgbouncer) does not get
    them. They need a statement of their own: a role that is set inside a query has no effect on that query.
    """
    # `hex` exists only on a UUID, so no other text can get into the statement
    tenant = tenant_id.hex if tenant_id else ""
    return _BEGIN.format(role=f"'{role}'", tenant=f"'{tenant}'")


class DatabaseUnreachableError(ConnectionError):
    """PostgreSQL cannot be reached."""


async def connect(*arguments: Any, **options: Any) -> Any:
    """Open a connection with `asyncpg.connect`.

    Raises:
        DatabaseUnreachableError: the host is unknown, there is no route, no file descriptor or no answer in time.
            It replaces the OSError, which would not tell that the database is what cannot be reached.
        asyncpg.PostgresError: the server answered and refused the connection.
    """
    try:
        return await asyncpg.connect(*arguments, **options)
    except OSError as error:  # also a wrong certificate, an unknown host, a timeout
        reason = error.strerror or str(error) or "no answer in time"
        raise DatabaseUnreachableError(error.errno, reason) from error


class RoleConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """A connection whose next transaction begins with the SQL in `begin_sql`, if set.

    `has_written`: the transaction ran a statement other than SELECT. `commit_unanswered`: its COMMIT was sent, but no
    answer came. Then `transaction_id` is its id, or None if it wrote nothing.
    """

    __slots__ = ("begin_sql", "commit_unanswered", "has_written", "transaction_id")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.begin_sql: str | None = None
        self.has_written = False
        self.transaction_id: TransactionId | None = None
        self.commit_unanswered = False

    def prepare_transaction(self, begin: str) -> None:
        """Set the SQL that begins the next transaction. SQLAlchemy begins it with its first statement."""
        self.begin_sql = begin
        self.has_written = self.commit_unanswered = False
        self.transaction_id = None

    def transaction(self, **options: Any) -> Any:
        """Return the transaction. SQLAlchemy calls this just before the first statement."""
        begin, self.begin_sql = self.begin_sql, None
        if begin is None:
            return super().transaction(**options)
        if any(options.values()):
            raise ValueError("a transaction with a role accepts no isolation level and no other options")
        return _RoleTransaction(self, begin)


class _RoleTransaction:
    """The part of asyncpg's transaction that SQLAlchemy uses. It makes savepoints by statements of its own."""

    def __init__(self, connection: RoleConnection, begin: str) -> None:
        self._connection = connection
        self._begin = begin

    async def start(self) -> None:
        try:
            await self._connection.execute(self._begin)
        except asyncpg.PostgresError:
            # BEGIN worked but the role failed, and SQLAlchemy does not roll back a transaction that failed to start
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._connection.execute("ROLLBACK")
            raise

    async def commit(self) -> None:
        connection = self._connection
        try:
            if connection.has_written and (row := await connection.fetchrow(IDENTIFY))["id"]:
                connection.transaction_id = TransactionId(row["id"], row["asked_at"], row["timeline"])
            connection.commit_unanswered = True
            await connection.execute("COMMIT")
        except BaseException as error:
            await self._give_up(error)
            raise
        connection.commit_unanswered = False

    async def _give_up(self, error: BaseException) -> None:
        """End the transaction, because SQLAlchemy believes it has ended and returns the connection to the pool."""
        if isinstance(error, asyncpg.PostgresError) and not self._connection.is_closed():
            self._connection.commit_unanswered = False  # the server refused the COMMIT and rolled back
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._connection.execute("ROLLBACK")
        else:
            self._connection.terminate()

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")
