"""Finds files that changed since an earlier look, however late the transactions that changed them were committed.

Times and sequences do not tell that: a transaction may take its time or number, and be committed after a later one.
So each change of a file stores the id of its transaction, and a reader keeps the snapshot of PostgreSQL that it last
looked at. What that snapshot did not see, and the present one sees, has changed.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from asyncpg import Record

from fastapi_ignite.infra.db import Database, FixedStatement

PAGE_ROWS = 500
# A snapshot names the transactions that were running. Without them, changes may be seen again, but none is missed.
LONGEST_POSITION = 1000
START = "start"
_POSITION = re.compile(r"[1-9]\d{0,17}:[1-9]\d{0,17}:(?:[1-9]\d{0,17}(?:,[1-9]\d{0,17})*)?", re.ASCII)
_BEFORE_ALL = UUID(int=0)

# A file and its pending version are two rows, and a change of either is told as the present state of both.
_COLUMNS = """
SELECT changed.id AS row_id, f.id, f.filename, f.state, f.last_error, f.attributes, f.version, f.changed_by,
    p.version AS pending_number, p.state AS pending_state, p.last_error AS pending_error, p.changed_by AS pending_by
"""
_JOINS = """
JOIN files AS f ON f.tenant_id = :tenant_id AND f.id = coalesce(changed.version_of, changed.id)
LEFT JOIN files AS p
    ON p.tenant_id = :tenant_id AND p.version_of = f.id AND p.state NOT IN ('deleting', 'deleted')
"""
_SELECT = f"""
{_COLUMNS}, CAST(pg_current_snapshot() AS text) AS snapshot FROM (
    SELECT id, version_of FROM files
    WHERE tenant_id = :tenant_id AND project_id = :project_id AND id > :after
        AND (version_of IS NULL OR (state <> 'deleted' AND replaced_at IS NULL))
"""  # noqa: S608  all parts are constants
# A row of another cluster's dump may name a transaction that is still to come here: it has not changed since.
_CHANGED = """
AND changed_by >= CAST(:oldest AS bigint)
AND NOT pg_visible_in_snapshot(CAST(CAST(changed_by AS text) AS xid8), CAST(CAST(:position AS text) AS pg_snapshot))
AND changed_by < CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)
"""
_BATCH = "AND batch_id = CAST(:batch_id AS uuid) AND version_of IS NULL"
_UNFINISHED = "AND state IN ('queued', 'extracting', 'chunking', 'indexing')"
_ORDER = f"ORDER BY id LIMIT CAST(:limit AS integer)) AS changed {_JOINS} ORDER BY changed.id"


def _statement(*parts: str) -> FixedStatement:
    return FixedStatement("\n".join((_SELECT, *parts, _ORDER)))


_ALL_OF_BATCH = _statement(_BATCH)
_CHANGED_OF_BATCH = _statement(_BATCH, _CHANGED)
_UNFINISHED_OF_PROJECT = _statement(_UNFINISHED)
_CHANGED_OF_PROJECT = _statement(_CHANGED)
_NOW = FixedStatement("SELECT CAST(pg_current_snapshot() AS text) AS snapshot")
_STATES = FixedStatement("""
SELECT state, count(*) AS files FROM files
WHERE tenant_id = :tenant_id AND project_id = :project_id AND batch_id = :batch_id AND version_of IS NULL
GROUP BY state
""")
_FILE = FixedStatement(f"""
{_COLUMNS} FROM files AS changed {_JOINS}
WHERE changed.tenant_id = :tenant_id AND changed.project_id = :project_id AND changed.id = :id
    AND changed.version_of IS NULL
""")


@dataclass(frozen=True, slots=True)
class ChangedVersion:
    """The pending version of a file."""

    number: int
    state: str
    last_error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file in the state that a look found. `position` is where a reader that has seen it goes on."""

    id: UUID
    filename: str
    state: str
    last_error: dict[str, Any] | None
    attributes: dict[str, Any]
    version: int
    pending: ChangedVersion | None
    position: str

    @classmethod
    def of(cls, row: Record, position: str) -> ChangedFile:
        number, state = row["pending_number"], row["pending_state"]
        pending = ChangedVersion(number, state, _decoded(row["pending_error"])) if number else None
        return cls(
            row["id"],
            row["filename"],
            row["state"],
            _decoded(row["last_error"]),
            _decoded(row["attributes"]) or {},
            row["version"],
            pending,
            position,
        )


class ChangeFeed:
    """Looks at the files of a project, or of one batch. Every look is one short query for 500 files."""

    def __init__(self, database: Database, tenant_id: UUID, project_id: UUID, batch_id: UUID | None = None) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._project_id = project_id
        self._batch_id = batch_id

    async def resume(self, position: str | None) -> str:
        """Return the position that a client sent, or the start if it is malformed or of another database's future."""
        if not position or not _POSITION.fullmatch(position) or len(position) > LONGEST_POSITION:
            return START
        oldest, end, running = _parts(position)
        (now,) = await self._read(_NOW)
        ordered = [oldest, *running, end]
        is_snapshot = ordered == sorted(ordered) and len({*running, end}) == len(running) + 1
        return position if is_snapshot and end <= _parts(now["snapshot"])[1] else START

    async def since(self, position: str) -> AsyncGenerator[ChangedFile]:
        """Yield the files that changed since the position, or whose versions did, in the order of these rows.

        At the start these are the files in progress, or all files of the batch. Only the last one leads to a new
        position: a reader that leaves before it sees the same files again, and none is lost.
        """
        following = (await self._read(_NOW))[0]["snapshot"] if position == START else None
        found: ChangedFile | None = None
        after = _BEFORE_ALL
        while True:
            rows = await self._read(self._statement(position), position=position, after=after)
            following = following or (rows[0]["snapshot"] if rows else position)
            for row in rows:
                if found is not None:
                    yield found
                found = ChangedFile.of(row, position)
            if len(rows) < PAGE_ROWS:
                break
            after = rows[-1]["row_id"]
        if found is not None:
            yield replace(found, position=_short(following))

    async def states(self) -> dict[str, int]:
        """Return the number of files of the batch in each state."""
        return {row["state"]: row["files"] for row in await self._read(_STATES)}

    async def file(self, file_id: UUID) -> ChangedFile | None:
        """Return the present state of one file, or None if it is unknown. Its position is that of its last change."""
        for row in await self._read(_FILE, id=file_id):
            return ChangedFile.of(row, str(max(row["changed_by"], row["pending_by"] or 0)))
        return None

    def _statement(self, position: str) -> FixedStatement:
        if position == START:
            return _ALL_OF_BATCH if self._batch_id else _UNFINISHED_OF_PROJECT
        return _CHANGED_OF_BATCH if self._batch_id else _CHANGED_OF_PROJECT

    async def _read(self, statement: FixedStatement, *, position: str = START, **values: Any) -> Sequence[Record]:
        known = {
            "tenant_id": self._tenant_id,
            "project_id": self._project_id,
            "batch_id": self._batch_id,
            "position": position,
            "limit": PAGE_ROWS,
            "oldest": 0 if position == START else _parts(position)[0],
        }
        return await self._database.read(self._tenant_id, statement, {**known, **values})


def _decoded(error: Any) -> dict[str, Any] | None:
    decoded: dict[str, Any] | None = json.loads(error) if isinstance(error, str) else error
    return decoded


def _parts(snapshot: str) -> tuple[int, int, list[int]]:
    oldest, end, running = snapshot.split(":")
    return int(oldest), int(end), [int(each) for each in running.split(",") if each]


def _short(snapshot: str) -> str:
    if len(snapshot) <= LONGEST_POSITION:
        return snapshot
    oldest, _, _ = _parts(snapshot)
    return f"{oldest}:{oldest}:"
