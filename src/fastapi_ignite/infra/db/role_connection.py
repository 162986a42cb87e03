"""Connections of asyncpg whose transactions have a role and a tenant, without a round trip for it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from fastapi_ignite.infra.db.commit_outcome import IDENTIFY, TransactionId
from fastapi_ignite.infra.db.role_message import role_message

# what the driver raises when the connection is closed, or when the server has ended the session and will close it
SESSION_ENDED = (asyncpg.InterfaceError, asyncpg.InternalClientError)


class Record(asyncpg.Record):  # type: ignore[misc]  # the driver has no types
    """A row of a query, whose columns are its attributes too, as those of SQLAlchemy's rows are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


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
    """A connection whose next transaction begins with the message in `begin`, if set.

    `has_written`: the transaction ran a statement other than SELECT. `commit_unanswered`: its COMMIT was sent, but no
    answer came. Then `transaction_id` is its id, or None if it wrote nothing.
    """

    __slots__ = ("_queries", "begin", "commit_unanswered", "has_written", "transaction_id")
    names_statements: ClassVar[bool] = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.begin: bytes | None = None
        self.has_written = False
        self.transaction_id: TransactionId | None = None
        self.commit_unanswered = False
        self._queries: dict[str, PreparedStatement] = {}

    async def set_type_codec(self, *arguments: Any, **options: Any) -> None:
        """Do what the driver does. SQLAlchemy calls this for a new connection, and passes the driver's errors on.

        Raises:
            DatabaseUnreachableError: the server has ended the session meanwhile.
        """
        try:
            await super().set_type_codec(*arguments, **options)
        except SESSION_ENDED as error:
            raise DatabaseUnreachableError(str(error)) from error

    def prepare_transaction(self, begin: bytes) -> None:
        """Set the message that begins the next transaction. SQLAlchemy begins it with its first statement."""
        self.begin = begin
        self.has_written = self.commit_unanswered = False
        self.transaction_id = None

    def transaction(self, **options: Any) -> Any:
        """Return the transaction. SQLAlchemy calls this just before the first statement."""
        begin, self.begin = self.begin, None
        if begin is None:
            return super().transaction(**options)
        if any(options.values()):
            raise ValueError("a transaction with a role accepts no isolation level and no other options")
        return _RoleTransaction(self, begin)

    def send_unanswered(self, message: bytes) -> None:
        """Send one of `role_message`, which PostgreSQL answers with the driver's next message."""
        self._transport.write(message)

    async def query(self, role: str, tenant_id: UUID | None, sql: str, arguments: Sequence[Any]) -> list[Record]:
        """Run a query in a transaction of its own that has this role and tenant, in one round trip.

        A few constant queries are expected, because each stays prepared. An error terminates the connection: the role
        may have been sent without the query, and the next statement of the connection would get it.
        """
        take_role = role_message(role, tenant_id)
        try:
            statement = self._queries.get(sql)
            if statement is None:
                self.send_unanswered(take_role)  # names are found with the privileges of the role
                name = None if self.names_statements else ""
                statement = self._queries[sql] = await self.prepare(sql, name=name, record_class=Record)
            self.send_unanswered(take_role)
            rows: list[Record] = await statement.fetch(*arguments)
        except asyncpg.InvalidCachedStatementError:  # a migration has changed the type of a column since
            del self._queries[sql]
            return await self.query(role, tenant_id, sql, arguments)
        except BaseException:
            self.terminate()
            raise
        return rows


class _RoleTransaction:
    """The part of asyncpg's transaction that SQLAlchemy uses. It makes savepoints by statements of its own."""

    def __init__(self, connection: RoleConnection, begin: bytes) -> None:
        self._connection = connection
        self._begin = begin

    async def start(self) -> None:
        self._connection.send_unanswered(self._begin)

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
        connection = self._connection
        if connection.is_closed():
            return
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        else:
            # no statement followed the BEGIN, and PostgreSQL would ignore a ROLLBACK if it had refused the role
            connection.terminate()
