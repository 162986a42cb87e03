"""SQL of deletions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text

from fastapi_ignite.core import clock
from fastapi_ignite.deletions.models import Deletion, DeletionState, Kind
from fastapi_ignite.infra.jobs.leases import LeasedRepo

# so many ids of objects at a provider are listed in a receipt
MOST_PROVIDER_IDS = 1000


class DeletionRepo(LeasedRepo[Deletion]):
    """The deletions of one tenant. It works in a transaction of the tenant or of the system."""

    model = Deletion
    unfinished = (DeletionState.IN_PROGRESS,)

    async def begin_once(self, kind: Kind, target_id: UUID) -> bool:
        """Start a deletion. Return False if it was started before; this waits for a transaction that does it now."""
        statement = self._insert(kind, target_id).on_conflict_do_nothing().returning(Deletion.id)
        return (await self.session.execute(statement)).first() is not None

    async def begin(
        self, kind: Kind, target_id: UUID, *, project_id: UUID | None = None, document_id: UUID | None = None
    ) -> None:
        """Start a deletion, or start it again if more is to be removed now. A worker that runs it loses its attempt."""
        now = clock.now()
        statement = self._insert(kind, target_id, project_id=project_id, document_id=document_id)
        await self.session.execute(
            statement.on_conflict_do_update(
                index_elements=[Deletion.tenant_id, Deletion.id],
                set_={
                    "state": DeletionState.IN_PROGRESS,
                    "document_id": func.coalesce(document_id, Deletion.document_id),
                    "attempt": Deletion.attempt + 1,
                    "lease_until": None,
                    "last_error": None,
                    "completed_at": None,
                    "notified_at": now,
                    "updated_at": now,
                },
            )
        )

    def _insert(self, kind: Kind, target_id: UUID, **columns: UUID | None) -> Insert:
        now = clock.now()
        return insert(Deletion).values(
            tenant_id=self._tenant_id,
            id=target_id,
            kind=kind,
            state=DeletionState.IN_PROGRESS,
            notified_at=now,
            created_at=now,
            **columns,
        )

    async def add_counts(self, deletion: Deletion, **counts: int) -> None:
        """Add what this attempt has removed. Call it in the transaction that removed it, where there is one.

        Raises:
            StaleAttemptError: The row moved on without this attempt.
        """
        await self.advance(
            deletion.id, deletion.attempt, **{name: getattr(Deletion, name) + count for name, count in counts.items()}
        )

    async def add_provider_ids(self, deletion: Deletion, provider_ids: Sequence[str]) -> None:
        """Add the ids of objects that this attempt has removed at a provider.

        Raises:
            StaleAttemptError: The row moved on without this attempt.
        """
        length = func.cardinality(Deletion.provider_ids) + len(provider_ids)
        joined = Deletion.provider_ids.op("||")(literal(list(provider_ids), ARRAY(Text)))
        await self.advance(
            deletion.id,
            deletion.attempt,
            provider_objects=Deletion.provider_objects + len(provider_ids),
            provider_ids=func.trim_array(joined, func.greatest(length - MOST_PROVIDER_IDS, 0)),
        )

    async def complete(self, deletion: Deletion) -> None:
        """End the deletion.

        Raises:
            StaleAttemptError: The row moved on without this attempt.
        """
        await self.advance(
            deletion.id,
            deletion.attempt,
            state=DeletionState.COMPLETED,
            completed_at=clock.now(),
            lease_until=None,
            last_error=None,
        )

    async def complete_files_of(self, project_id: UUID) -> None:
        """End the deletions of single files of a project that is removed as a whole."""
        await self._complete_where(Deletion.project_id == project_id, Deletion.kind == Kind.FILE)

    async def complete_parts(self) -> None:
        """End the deletions of files and projects of a tenant that is erased as a whole. Their workers stop."""
        await self._complete_where(Deletion.kind != Kind.TENANT)

    async def _complete_where(self, *conditions: ColumnElement[bool]) -> None:
        await self.session.execute(
            update(Deletion)
            .where(Deletion.tenant_id == self._tenant_id, Deletion.state == DeletionState.IN_PROGRESS, *conditions)
            .values(
                state=DeletionState.COMPLETED,
                attempt=Deletion.attempt + 1,
                completed_at=clock.now(),
                lease_until=None,
                last_error=None,
            )
        )

    async def get(self, deletion_id: UUID) -> Deletion | None:
        """Return the deletion, or None. Of an erased tenant there is only its own."""
        statement = select(Deletion).where(
            Deletion.tenant_id == self._tenant_id, Deletion.id.in_({deletion_id, self._tenant_id})
        )
        found = {row.id: row for row in await self.session.scalars(statement.execution_options(populate_existing=True))}
        if self._tenant_id in found and deletion_id != self._tenant_id:
            return None
        return found.get(deletion_id)

    async def page(self, *, limit: int, after: UUID | None) -> Sequence[Deletion]:
        """Return a page ordered by id."""
        statement = select(Deletion).where(Deletion.tenant_id == self._tenant_id).order_by(Deletion.id).limit(limit)
        if after is not None:
            statement = statement.where(Deletion.id > after)
        return (await self.session.scalars(statement)).all()


async def remove_old_receipts(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Remove receipts of deletions that were completed before then. Return their number.

    This needs a system transaction.
    """
    old = (
        select(Deletion.tenant_id, Deletion.id)
        .where(Deletion.state == DeletionState.COMPLETED, Deletion.completed_at < before)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    place = tuple_(Deletion.tenant_id, Deletion.id)
    removed = delete(Deletion).where(place == tuple_(old.c.tenant_id, old.c.id)).returning(Deletion.id)
    return len((await session.scalars(removed)).all())
