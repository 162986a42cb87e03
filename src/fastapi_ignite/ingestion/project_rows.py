"""SQL of the rows that a project takes with it. Each statement that removes rows is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.documents.repository import DocumentRepository

# Conversations are a feature above this one, so their tables are known here by their names only.
_CANCEL_FILES = text("""
WITH unfinished AS (
    SELECT id FROM files WHERE tenant_id = :tenant_id AND project_id = ANY(CAST(:project_ids AS uuid[]))
        AND state IN ('queued', 'extracting', 'chunking', 'indexing')
    ORDER BY id FOR UPDATE  -- the order of the workers that hold several files
)
UPDATE files AS f SET state = 'cancelled', attempt = f.attempt + 1, lease_until = NULL, updated_at = now()
FROM unfinished WHERE f.tenant_id = :tenant_id AND f.id = unfinished.id
RETURNING f.reservation_id
""")
_END_QUESTIONS = text("""
UPDATE messages AS m SET state = 'failed', updated_at = now()
FROM conversations AS c
WHERE c.tenant_id = :tenant_id AND c.project_id = ANY(CAST(:project_ids AS uuid[]))
    AND m.tenant_id = c.tenant_id AND m.conversation_id = c.id AND m.state = 'pending'
RETURNING m.reservation_id
""")
# A key names what its request made, and may hold the answer for repetitions of the request.
_FORGET_ANSWERS = text("""
WITH kept AS MATERIALIZED (
    SELECT route, key_sha256, resource, substring(resource FROM '/messages/([0-9a-f-]{36})$') AS message_id
    FROM idempotency_keys WHERE tenant_id = :tenant_id AND answer IS NOT NULL
)
UPDATE idempotency_keys AS k SET answer = NULL, answer_status = NULL
FROM kept
LEFT JOIN messages AS m ON m.tenant_id = :tenant_id AND m.id = CAST(kept.message_id AS uuid)
LEFT JOIN conversations AS c ON c.tenant_id = m.tenant_id AND c.id = m.conversation_id
WHERE k.tenant_id = :tenant_id AND k.route = kept.route AND k.key_sha256 = kept.key_sha256
    AND (c.project_id = :project_id OR position(CAST(:project_id AS text) IN kept.resource) > 0)
""")
_FILES = text("""
SELECT id, storage_key, state NOT IN ('deleting', 'deleted') AND version_of IS NULL AS is_visible,
    CASE WHEN storage_key IS NOT NULL AND bytes_missing_at IS NULL THEN byte_count ELSE 0 END AS stored_bytes
FROM files WHERE tenant_id = :tenant_id AND project_id = :project_id ORDER BY id LIMIT :row_limit
""")
_DELETE_FILES = text("DELETE FROM files WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]))")
_DELETE_MESSAGES = text("""
WITH removed AS (
    DELETE FROM messages WHERE tenant_id = :tenant_id AND id IN (
        SELECT m.id FROM conversations AS c
        JOIN messages AS m ON m.tenant_id = c.tenant_id AND m.conversation_id = c.id
        WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id LIMIT :row_limit
    ) RETURNING 1
)
SELECT count(*) FROM removed
""")
_DELETE_CONVERSATIONS = text("""
WITH removed AS (
    DELETE FROM conversations WHERE tenant_id = :tenant_id AND id IN (
        SELECT id FROM conversations WHERE tenant_id = :tenant_id AND project_id = :project_id LIMIT :row_limit
    ) RETURNING 1
)
SELECT count(*) FROM removed
""")
_DELETE_PROJECT = text("""
DELETE FROM projects WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NOT NULL RETURNING id
""")
_ENGINE = text("""
SELECT engine FROM projects WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file that goes with its project.

    `is_visible` is false for versions of files, and for a file that was removed before and has its own receipt.
    """

    id: UUID
    storage_key: str | None
    stored_bytes: int
    is_visible: bool


class ProjectRows:
    """The rows of one project: in a transaction of its tenant before the project is hidden, of the system after."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, project_id: UUID) -> None:
        self._session = session
        self._values: dict[str, Any] = {"tenant_id": tenant_id, "project_id": project_id}

    async def forget_answers(self) -> None:
        """Forget the answers that idempotency keys would repeat."""
        await self._session.execute(_FORGET_ANSWERS, self._values)

    async def engine(self) -> str | None:
        """Return the name of the hidden project's engine, or None without an index."""
        engine: str | None = await self._session.scalar(_ENGINE, self._values)
        return engine

    async def files(self, limit: int) -> list[ProjectFile]:
        """Return the first files, whatever their state."""
        rows = await self._session.execute(_FILES, {**self._values, "row_limit": limit})
        return [ProjectFile(row.id, row.storage_key, row.stored_bytes, row.is_visible) for row in rows]

    async def delete_files(self, ids: Sequence[UUID]) -> None:
        await self._session.execute(_DELETE_FILES, {**self._values, "ids": list(ids)})

    async def delete_messages(self, limit: int) -> int:
        """Delete some messages, and return how many."""
        return int(await self._session.scalar(_DELETE_MESSAGES, {**self._values, "row_limit": limit}) or 0)

    async def delete_conversations(self, limit: int) -> int:
        """Delete some conversations, and return how many."""
        return int(await self._session.scalar(_DELETE_CONVERSATIONS, {**self._values, "row_limit": limit}) or 0)

    async def hide_documents(self, limit: int) -> Sequence[int]:
        """Hide some documents, and return how many chunks each of them has."""
        documents = DocumentRepository(self._session, self._values["tenant_id"])
        return await documents.hide_some(self._values["project_id"], limit)

    async def delete_project(self) -> bool:
        """Delete the row of the hidden project, and with it what is left of the others. Return False without one."""
        return (await self._session.execute(_DELETE_PROJECT, self._values)).first() is not None


async def stop_work(session: AsyncSession, tenant_id: UUID, project_ids: Sequence[UUID]) -> list[UUID]:
    """Cancel unfinished files and fail open questions. Return the reservations that they held."""
    values = {"tenant_id": tenant_id, "project_ids": list(project_ids)}
    rows = [*await session.execute(_CANCEL_FILES, values)]
    rows += [*await session.execute(_END_QUESTIONS, values)]
    return [row.reservation_id for row in rows if row.reservation_id]
