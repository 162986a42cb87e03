"""Transactions that run with a database role and a tenant, which are set before the first statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast
from uuid import UUID

import asyncpg
from sqlalchemy import URL, Connection, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import PoolProxiedConnection

from fastapi_ignite.infra.db.after_commit import ACTIONS, Actions, run_actions, take_actions
from fastapi_ignite.infra.db.commit_outcome import CommitOutcome, CommitOutcomeUnknownError, TransactionId, find_outcome
from fastapi_ignite.infra.db.connections import connection_options
from fastapi_ignite.infra.db.fixed_statement import FixedStatement, is_select
from fastapi_ignite.infra.db.role_connection import SESSION_ENDED, Record, RoleConnection, connect
from fastapi_ignite.infra.db.role_message import SET_ROLE, begin_message

TENANT_ROLE = "ignite_tenant"
SYSTEM_ROLE = "ignite_system"
OPERATOR_ROLE = "ignite_operator"


class _RoleSession(Session):
    """The sync session of an `AsyncSession`. Its `info` has the role and the tenant of its transactions."""


@event.listens_for(_RoleSession, "after_begin")
def _set_role(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    """Set role and tenant. This needs no round trip of its own, as it is sent with the first statement."""
    driver = _driver_of(connection.connection)
    driver.prepare_transaction(begin_message(session.info["role"], session.info["tenant_id"]))
    session.info["driver"] = driver


@event.listens_for(_RoleSession, "after_soft_rollback")
def _forget_actions(session: Session, ended: SessionTransaction) -> None:
    """Drop what was to follow the COMMIT. A savepoint drops nothing: the messages of its rows find no row."""
    if not ended.nested:
        session.info.pop(ACTIONS, None)


def _driver_of(connection: DBAPIConnection | PoolProxiedConnection) -> RoleConnection:
    return cast("RoleConnection", connection.driver_connection)


def _check(connection: DBAPIConnection, _record: object, _fairy: object) -> None:
    """Refuse a closed connection, so that the pool opens another one.

    The driver notices when the server closes the socket. `pool_pre_ping` would ask the server instead, which costs
    three round trips, more than a short transaction.
    """
    driver = _driver_of(connection)
    driver.begin = None  # left by a transaction that ended before its first statement
    if driver.is_closed():
        raise DisconnectionError


def _note_write(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    """Note that the transaction may have written something, so that the outcome of its COMMIT matters."""
    if not is_select(statement):
        _driver_of(connection.connection).has_written = True


class Database:
    """The engine of one login, and its transactions.

    The logins have no privileges of their own, so a statement without a role can read nothing.
    """

    def __init__(self, url: URL, *, pool_size: int = 10, application_name: str = "fastapi-ignite") -> None:
        address, options = connection_options(url)
        self.engine = create_async_engine(
            address,
            # A connection above `pool_size` would be closed after each use. To open one takes 4 ms of CPU (SCRAM).
            pool_size=2 * pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            pool_timeout=10,
            pool_recycle=1800,
            hide_parameters=True,  # errors are logged, and a parameter may be a question or a document
            connect_args={
                "timeout": 10,
                "command_timeout": 60,
                "server_settings": {"application_name": application_name},
                "connection_class": RoleConnection,
                "async_creator_fn": connect,
                **options,
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _check)
        event.listen(self.engine.sync_engine, "before_cursor_execute", _note_write)
        self._sessions = async_sessionmaker(self.engine, sync_session_class=_RoleSession, expire_on_commit=False)

    @asynccontextmanager
    async def _transaction(self, role: str, tenant_id: UUID | None) -> AsyncGenerator[AsyncSession]:
        session = self._sessions(info={"role": role, "tenant_id": tenant_id})
        try:
            yield session
            actions = take_actions(session)  # a COMMIT without an answer rolls the session back, committed or not
            await self._commit(session)
        except BaseException:
            async with session:  # it rolls back, and a cancellation does not interrupt that
                raise
        session.sync_session.close()  # no await, because the commit has returned the connection to the pool
        if actions:
            await _run_to_the_end(actions)

    async def _commit(self, session: AsyncSession) -> None:
        """Commit, and raise the error if the transaction was rolled back.

        Raises:
            CommitOutcomeUnknownError: the outcome is unknown, see `infra.db.commit_outcome`.
        """
        try:
            await session.commit()
        except (Exception, asyncio.CancelledError) as error:
            driver: RoleConnection | None = session.info.get("driver")
            if driver is None or not driver.commit_unanswered:
                raise
            outcome = await self._find_outcome(driver.transaction_id)
            if outcome is CommitOutcome.ROLLED_BACK:
                raise
            if outcome is CommitOutcome.UNKNOWN:
                raise CommitOutcomeUnknownError from error
            await session.close()
            if isinstance(error, asyncio.CancelledError):
                _cancel_later()

    async def _find_outcome(self, transaction: TransactionId | None) -> CommitOutcome:
        if transaction is None:  # it wrote nothing, so its COMMIT cannot have failed
            return CommitOutcome.COMMITTED
        lookup = asyncio.create_task(find_outcome(self.engine, transaction))
        try:
            return await asyncio.shield(lookup)
        except asyncio.CancelledError:  # a cancelled caller does not wait for the outcome
            return CommitOutcome.UNKNOWN

    def tenant(self, tenant_id: UUID | None) -> AbstractAsyncContextManager[AsyncSession]:
        """Begin a transaction that sees the rows of one tenant, or with `None` only tables that have no tenant."""
        return self._transaction(TENANT_ROLE, tenant_id)

    def system(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Begin a transaction that sees all tenants, for the scheduler and the command line."""
        return self._transaction(SYSTEM_ROLE, None)

    def operator(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Begin a transaction that sees tenants, plans and subscriptions, but nothing that a tenant has stored."""
        return self._transaction(OPERATOR_ROLE, None)

    async def read(
        self, tenant_id: UUID | None, statement: FixedStatement, values: Mapping[str, Any]
    ) -> Sequence[Record]:
        """Run one query in a transaction of its own, as `tenant` does, but without a session and in one round trip.

        It is for queries of very many requests, and only for SELECT: nobody would learn what became of a lost COMMIT.
        """
        if not statement.is_select:
            raise ValueError("`read` only takes a SELECT: it does not look up what became of a lost COMMIT")
        pooled = await self.engine.raw_connection()
        driver = _driver_of(pooled)
        try:
            return await driver.query(TENANT_ROLE, tenant_id, statement.sql, statement.arguments(values))
        except (asyncpg.PostgresError, *SESSION_ENDED) as error:  # as SQLAlchemy does for other statements
            lost = isinstance(error, SESSION_ENDED)
            raise DBAPIError(statement.sql, None, error, connection_invalidated=lost) from error
        finally:
            if driver.is_closed():
                pooled.invalidate()
            pooled.close()  # no await, because the connection is in no transaction of SQLAlchemy

    async def ping(self) -> None:
        """Raise if the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def schema_revision(self) -> str | None:
        async with self.tenant(None) as session:
            revision: str | None = await session.scalar(text("SELECT version_num FROM alembic_version"))
            return revision

    async def close(self) -> None:
        await self.engine.dispose()


async def _run_to_the_end(actions: Actions) -> None:
    """Run the actions even where the caller is cancelled meanwhile; it then waits for them no longer."""
    running = asyncio.create_task(run_actions(actions))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        _cancel_later()


def _cancel_later() -> None:
    """Delay a cancellation to the next await, because the transaction is committed and must not look failed."""
    task = asyncio.current_task()
    if task:
        task.uncancel()
        task.cancel()


@asynccontextmanager
async def acting_for(session: AsyncSession, tenant_id: UUID) -> AsyncGenerator[None]:
    """Make the transaction see another tenant's rows instead of its own, until the block ends."""
    own = session.info["tenant_id"]
    if own == tenant_id:
        yield
        return
    await _switch_tenant(session, tenant_id)
    yield
    await _switch_tenant(session, own)  # not after an error, which ends the transaction


async def _switch_tenant(session: AsyncSession, tenant_id: UUID | None) -> None:
    await session.flush()
    session.info["tenant_id"] = tenant_id
    connection = await session.connection()
    await connection.exec_driver_sql(SET_ROLE, (session.info["role"], str(tenant_id or "")))
