"""Constant SQL statements, for code where SQLAlchemy would need more time than the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session


def is_select(sql: str) -> bool:
    """Tell whether the statement only reads. A `WITH` may write, so it counts as writing."""
    return sql.lstrip().startswith("SELECT")


class FixedStatement:
    """SQL with `:name` parameters that is compiled once, and runs in the transaction of a session.

    Values have the types of the driver. Unlike a query of the ORM, it does not flush pending objects first.
    """

    def __init__(self, sql: str) -> None:
        compiled = text(sql).compile(dialect=dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
        self.sql = compiled.string
        self.is_select = is_select(self.sql)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in the order of the driver's `$1`, `$2`, ..."""
        return tuple([values[name] for name in self._names])

    async def execute(self, session: AsyncSession, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run the statement. Its result is buffered. One greenlet switch serves both connection and statement."""
        return await session.run_sync(self._execute, self.arguments(values))

    def _execute(self, session: Session, arguments: tuple[Any, ...]) -> CursorResult[Any]:
        return session.connection().exec_driver_sql(self.sql, arguments)
