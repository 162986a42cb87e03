"""The driver's connections: a transaction on one begins, and takes its role and tenant, in one round trip."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

import asyncpg

from fastapi_ignite.infra.db.commit_outcome import IDENTIFY, TransactionId

# jit goes along, and not with the connection: pgbouncer refuses start-up parameters that it does not know
_TAKE_ROLE = (
    "SELECT set_config('role', {role}, true), set_config('app.tenant_id', {tenant}, true), "
    "set_config('jit', 'off', true)"
)
SET_ROLE = _TAKE_ROLE.format(role="$1", tenant="$2")
_BEGIN = f"BEGIN; {_TAKE_ROLE}"


def opening(role: str, tenant_id: UUID | None) -> str:
    """BEGIN, the role (a constant of the program) and the tenant, as the text of one message.

    Transaction-local, so nothing leaks to the next user of a pooled connection, pgbouncer's included. A role set inside
    the statement that reads has no effect on that statement: hence one of its own.
    """
    # not `str`: only a UUID has a `hex`, so no other text can get into the statement
    tenant = tenant_id.hex if tenant_id else ""
    return _BEGIN.format(role=f"'{role}'", tenant=f"'{tenant}'")


class DatabaseUnreachableError(ConnectionError):
    """No connection to PostgreSQL could be made."""


async def connect(*arguments: Any, **options: Any) -> Any:
    """Open a connection, as `asyncpg.connect` does.

    Raises:
        DatabaseUnreachableError: the system, or no answer in time, was in the way: no such host, no route, no
            descriptor left. Elsewhere such an error would not tell that it is the database which cannot be reached.
        asyncpg.PostgresError: the server answered, and refused.
    """
    try:
        return await asyncpg.connect(*arguments, **options)
    except OSError as error:  # also of a certificate, of a name, and of time
        reason = error.strerror or str(error) or "no answer in time"
        raise DatabaseUnreachableError(error.errno, reason) from error


class RoleConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """Its next transaction begins with `opening`, when one is set.

    `wrote`: the transaction ran a statement that is no SELECT. `commit_unanswered`: its COMMIT was sent, and no answer
    came; `written` is its id then, or null where it wrote nothing.
    """

    __slots__ = ("commit_unanswered", "opening", "written", "wrote")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.opening: str | None = None
        self.wrote = False
        self.written: TransactionId | None = None
        self.commit_unanswered = False

    def prepare_transaction(self, begin: str) -> None:
        """Before its first statement, with which SQLAlchemy begins it."""
        self.opening = begin
        self.wrote = self.commit_unanswered = False
        self.written = None

    def transaction(self, **options: Any) -> Any:
        """What SQLAlchemy begins with, just before the first statement."""
        begin, self.opening = self.opening, None
        if begin is None:
            return super().transaction(**options)
        if any(options.values()):
            raise ValueError("a transaction with a role has the server's isolation level, and no other options")
        return _RoleTransaction(self, begin)


class _RoleTransaction:
    """As much of the driver's transaction as SQLAlchemy uses; savepoints are statements of its own."""

    def __init__(self, connection: RoleConnection, begin: str) -> None:
        self._connection = connection
        self._begin = begin

    async def start(self) -> None:
        try:
            await self._connection.execute(self._begin)
        except asyncpg.PostgresError:
            # BEGIN went well and the role did not: SQLAlchemy takes a transaction that failed to start for none
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._connection.execute("ROLLBACK")
            raise

    async def commit(self) -> None:
        connection = self._connection
        try:
            if connection.wrote and (row := await connection.fetchrow(IDENTIFY))["id"]:
                connection.written = TransactionId(row["id"], row["asked_at"], row["timeline"])
            connection.commit_unanswered = True
            await connection.execute("COMMIT")
        except BaseException as error:
            await self._give_up(error)
            raise
        connection.commit_unanswered = False

    async def _give_up(self, error: BaseException) -> None:
        """SQLAlchemy takes the transaction for ended, so it must not go on when the pool hands the connection out."""
        if isinstance(error, asyncpg.PostgresError) and not self._connection.is_closed():
            self._connection.commit_unanswered = False  # the server refused, and rolled back
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._connection.execute("ROLLBACK")
        else:
            self._connection.terminate()

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")
