"""SQL of deletions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
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

    async def begin(self, kind: Kind, target_id: UUID, *, project_id: UUID, document_id: UUID | None = None) -> None:
        """Start a deletion, or start it again if more is to be removed now. A worker that runs it loses its attempt."""
        now = clock.now()
        statement = insert(Deletion).values(
            tenant_id=self._tenant_id,
            id=target_id,
            kind=kind,
            project_id=project_id,
            document_id=document_id,
            state=DeletionState.IN_PROGRESS,
            notified_at=now,
            created_at=now,
        )
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
        await self.session.execute(
            update(Deletion)
            .where(
                Deletion.tenant_id == self._tenant_id,
                Deletion.project_id == project_id,
                Deletion.kind == Kind.FILE,
                Deletion.state == DeletionState.IN_PROGRESS,
            )
            .values(
                state=DeletionState.COMPLETED,
                attempt=Deletion.attempt + 1,
                completed_at=clock.now(),
                lease_until=None,
                last_error=None,
            )
        )

    async def get(self, deletion_id: UUID) -> Deletion | None:
        """Return the deletion, or None."""
        return await self.session.get(Deletion, (self._tenant_id, deletion_id))

    async def page(self, *, limit: int, after: UUID | None) -> Sequence[Deletion]:
        """Return a page ordered by id."""
        statement = select(Deletion).where(Deletion.tenant_id == self._tenant_id).order_by(Deletion.id).limit(limit)
        if after is not None:
            statement = statement.where(Deletion.id > after)
        return (await self.session.scalars(statement)).all()
