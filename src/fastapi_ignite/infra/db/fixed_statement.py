"""Statements that never change, for the paths where SQLAlchemy's own work would cost more than the database's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session


class FixedStatement:
    """SQL with `:name` parameters, compiled once for the driver and run in the session's transaction.

    Takes and gives the driver's own types; pending objects are not flushed before it, as with `text`.
    """

    def __init__(self, sql: str) -> None:
        compiled = text(sql).compile(dialect=dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
        self.sql = compiled.string
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """In the order of the driver's `$1`, `$2`, ..."""
        return tuple([values[name] for name in self._names])

    async def execute(self, session: AsyncSession, values: Mapping[str, Any]) -> CursorResult[Any]:
        """One switch into SQLAlchemy for connection and statement; its result is read already."""
        return await session.run_sync(self._execute, self.arguments(values))

    def _execute(self, session: Session, arguments: tuple[Any, ...]) -> CursorResult[Any]:
        return session.connection().exec_driver_sql(self.sql, arguments)
