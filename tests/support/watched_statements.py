"""Tells a test of the statements of a database, those of SQLAlchemy and those of `Database.read`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.util import await_only

from fastapi_ignite.infra.db import Database, FixedStatement, Record


@contextmanager
def watching_statements(database: Database, note: Callable[[str], Awaitable[None]]) -> Generator[None]:
    """Await `note` with the SQL of each statement, after its answer and before its caller gets it."""
    engine = database.engine.sync_engine
    read = database.read

    def note_statement(*arguments: Any) -> None:
        await_only(note(arguments[2]))

    async def read_and_note(
        tenant_id: UUID | None, statement: FixedStatement, values: Mapping[str, Any]
    ) -> Sequence[Record]:
        rows = await read(tenant_id, statement, values)
        await note(statement.sql)
        return rows

    event.listen(engine, "after_cursor_execute", note_statement)
    database.read = read_and_note  # type: ignore[method-assign]  # it has no event of its own
    try:
        yield
    finally:
        del database.read
        event.remove(engine, "after_cursor_execute", note_statement)


@contextmanager
def recorded_statements(database: Database) -> Generator[list[str]]:
    """Yield a list that grows with each statement."""
    statements: list[str] = []

    async def note(statement: str) -> None:
        statements.append(statement)

    with watching_statements(database, note):
        yield statements
