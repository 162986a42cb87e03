"""SQL of what we made at the provider. Every write names its attempt; a stale attempt changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, text, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.rag.documents.models import Document
from fastapi_ignite.rag.openai.models import ProviderFile, ProviderStore

# kept by a living attempt however long a call takes; of one that died a request may be under way for a while
LEASE = timedelta(minutes=2)
# named in one search; the answer's text is looked at whatever the search was told
MOST_WITHDRAWN = 100
_UNATTACHED = select(ProviderFile.id).where(
    ProviderFile.tenant_id == ProviderStore.tenant_id,
    ProviderFile.project_id == ProviderStore.project_id,
    ProviderFile.state == "ready",
    ~ProviderFile.attached,
)


class ProviderRepository:
    """The provider rows of one tenant, in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def store(self, project_id: UUID) -> ProviderStore | None:
        """Return the project's store, whatever its state."""
        return await self._session.get(ProviderStore, (self._tenant_id, project_id))

    async def claim_store(self, project_id: UUID) -> ProviderStore | None:
        """Claim the making of the store until the lease ends. Return None if another has it, or the store is made."""
        return await self._session.scalar(
            insert(ProviderStore)
            .values(
                tenant_id=self._tenant_id,
                project_id=project_id,
                id=new_id(),
                state="creating",
                lease_until=func.now() + LEASE,
            )
            .on_conflict_do_update(
                index_elements=[ProviderStore.tenant_id, ProviderStore.project_id],
                set_={"attempt": ProviderStore.attempt + 1, "lease_until": func.now() + LEASE},
                where=(ProviderStore.state == "creating") & (ProviderStore.lease_until <= func.now()),
            )
            .returning(ProviderStore),
            execution_options={"populate_existing": True},
        )

    async def mark_store_lost(self, project_id: UUID, provider_id: str) -> bool:
        """Mark the store as gone at the provider. The next one gets a new id, and no file is in it yet."""
        lost = await self._session.scalar(
            update(ProviderStore)
            .where(
                ProviderStore.tenant_id == self._tenant_id,
                ProviderStore.project_id == project_id,
                ProviderStore.provider_id == provider_id,
            )
            .values(
                id=new_id(),
                state="lost",
                provider_id=None,
                attempt=ProviderStore.attempt + 1,
                lease_until=func.now(),
            )
            .returning(ProviderStore.id)
        )
        if lost is None:
            return False
        await self._session.execute(
            update(ProviderFile)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.project_id == project_id,
                ProviderFile.attached,
            )
            .values(attached=False)
        )
        return True

    async def claim_rebuild(self, project_id: UUID, lease: timedelta) -> ProviderStore | None:
        """Claim a damaged store until the lease ends, or return None when there is nothing to rebuild now."""
        return await self._session.scalar(
            update(ProviderStore)
            .where(
                ProviderStore.tenant_id == self._tenant_id,
                ProviderStore.project_id == project_id,
                ProviderStore.lease_until <= func.now(),
                ProviderStore.state != "creating",
                (ProviderStore.state != "ready") | _UNATTACHED.exists(),
            )
            .values(attempt=ProviderStore.attempt + 1, lease_until=func.now() + lease)
            .returning(ProviderStore),
            execution_options={"populate_existing": True, "synchronize_session": False},
        )

    async def lock_store(self, project_id: UUID, provider_id: str) -> bool:
        """Return whether the project's store is still this one, and lock it against being marked as lost."""
        held = await self._session.scalar(
            select(ProviderStore.id)
            .where(
                ProviderStore.tenant_id == self._tenant_id,
                ProviderStore.project_id == project_id,
                ProviderStore.provider_id == provider_id,
            )
            .with_for_update(read=True)
        )
        return held is not None

    async def advance_store(self, store: ProviderStore, **values: Any) -> bool:
        """Change the store, and return False when another attempt took over."""
        moved = await self._session.execute(
            update(ProviderStore)
            .where(
                ProviderStore.tenant_id == self._tenant_id,
                ProviderStore.project_id == store.project_id,
                ProviderStore.attempt == store.attempt,
            )
            .values(**values)
            .returning(ProviderStore.id)
        )
        return moved.first() is not None

    async def claim_file(self, project_id: UUID, sha256: bytes) -> ProviderFile | None:
        """Claim the file of these bytes until the lease ends, or return None while it is another's."""
        return await self._session.scalar(
            insert(ProviderFile)
            .values(
                tenant_id=self._tenant_id,
                id=new_id(),
                project_id=project_id,
                sha256=sha256,
                state="working",
                lease_until=func.now() + LEASE,
            )
            .on_conflict_do_update(
                index_elements=[ProviderFile.tenant_id, ProviderFile.project_id, ProviderFile.sha256],
                index_where=text("state <> 'removing'"),
                set_={"attempt": ProviderFile.attempt + 1, "lease_until": func.now() + LEASE, "state": "working"},
                where=(ProviderFile.lease_until <= func.now()) & ProviderFile.document_id.is_(None),
            )
            .returning(ProviderFile),
            execution_options={"populate_existing": True},
        )

    async def take_over_store(self, store: ProviderStore) -> bool:
        """Take a store that has no id at the provider from attempts that may live. Return False while one does."""
        taken = await self._session.scalar(
            update(ProviderStore)
            .where(
                ProviderStore.tenant_id == self._tenant_id,
                ProviderStore.project_id == store.project_id,
                ProviderStore.attempt == store.attempt,
                ProviderStore.lease_until <= func.now(),
            )
            .values(attempt=ProviderStore.attempt + 1)
            .returning(ProviderStore.id)
        )
        return taken is not None

    async def delete_store(self, project_id: UUID) -> None:
        await self._session.execute(
            delete(ProviderStore).where(
                ProviderStore.tenant_id == self._tenant_id, ProviderStore.project_id == project_id
            )
        )

    async def take_over_files(self, project_id: UUID, limit: int) -> Sequence[ProviderFile]:
        """Begin to remove some files of a project, except those that are uploaded just now and have no id yet."""
        free = (
            select(ProviderFile.id)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.project_id == project_id,
                ProviderFile.provider_id.is_not(None)
                | (ProviderFile.lease_until <= func.now())
                | (ProviderFile.state != "working"),
            )
            .limit(limit)
        )
        return (
            await self._session.scalars(
                update(ProviderFile)
                .where(ProviderFile.tenant_id == self._tenant_id, ProviderFile.id.in_(free))
                .values(state="removing", attempt=ProviderFile.attempt + 1)
                .returning(ProviderFile),
                execution_options={"synchronize_session": False},
            )
        ).all()

    async def has_files(self, project_id: UUID) -> bool:
        """Return whether a file of the project may be at the provider."""
        found = select(ProviderFile.id).where(
            ProviderFile.tenant_id == self._tenant_id, ProviderFile.project_id == project_id
        )
        return (await self._session.scalar(found.limit(1))) is not None

    async def indexed_file(self, project_id: UUID, sha256: bytes) -> ProviderFile | None:
        """Return the file of these bytes if it has a document already, because equal bytes came first."""
        return await self._session.scalar(
            select(ProviderFile).where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.project_id == project_id,
                ProviderFile.sha256 == sha256,
                ProviderFile.document_id.is_not(None),
                ProviderFile.state != "removing",
            )
        )

    async def advance_file(self, file: ProviderFile, **values: Any) -> bool:
        """Change the file and extend its lease. Return False when another attempt took over, or it is being removed."""
        moved = await self._session.execute(
            update(ProviderFile)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.id == file.id,
                ProviderFile.attempt == file.attempt,
                ProviderFile.state != "removing",
            )
            .values(**{"lease_until": func.now() + LEASE, **values})
            .returning(ProviderFile.id)
        )
        return moved.first() is not None

    async def count_files(self, project_id: UUID) -> int:
        """Return the number of files in the project's store or on their way into it."""
        counted = await self._session.scalars(
            select(func.count())
            .select_from(ProviderFile)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.project_id == project_id,
                ProviderFile.state != "removing",
            )
        )
        return counted.one()

    async def unattached_files(self, project_id: UUID, *, after: UUID | None, limit: int) -> Sequence[ProviderFile]:
        """Return the files of documents that are missing in the project's store, by id."""
        statement = (
            select(ProviderFile)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.project_id == project_id,
                ProviderFile.state == "ready",
                ~ProviderFile.attached,
            )
            .order_by(ProviderFile.id)
            .limit(limit)
        )
        return (await self._session.scalars(statement.where(ProviderFile.id > after) if after else statement)).all()

    async def set_attached(self, file_ids: Sequence[UUID]) -> None:
        """Mark files as being in the project's store."""
        await self._session.execute(
            update(ProviderFile)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.id.in_(file_ids),
                ProviderFile.state == "ready",
            )
            .values(attached=True)
        )

    async def mark_file_lost(self, file_id: UUID, provider_id: str) -> None:
        """Mark the file as gone at the provider, and so out of the store."""
        await self._session.execute(
            update(ProviderFile)
            .where(
                ProviderFile.tenant_id == self._tenant_id,
                ProviderFile.id == file_id,
                ProviderFile.provider_id == provider_id,
                ProviderFile.state != "removing",
            )
            .values(provider_id=None, attached=False)
        )

    async def text_of(self, file_id: UUID) -> str | None:
        """Return the text of the file's document, or None where that is hidden."""
        return await self._session.scalar(
            select(Document.text)
            .join(
                ProviderFile,
                (ProviderFile.tenant_id == Document.tenant_id) & (ProviderFile.document_id == Document.id),
            )
            .where(ProviderFile.tenant_id == self._tenant_id, ProviderFile.id == file_id, Document.hidden_at.is_(None))
        )

    async def begin_removal(self, document_id: UUID) -> None:
        """Begin to remove the document's file. Equal bytes that come from now on are another file."""
        await self._session.execute(
            update(ProviderFile)
            .where(ProviderFile.tenant_id == self._tenant_id, ProviderFile.document_id == document_id)
            .values(state="removing")
        )

    async def removing(self, document_id: UUID) -> Sequence[ProviderFile]:
        """Return the files that a hidden document left at the provider."""
        return (
            await self._session.scalars(
                select(ProviderFile).where(
                    ProviderFile.tenant_id == self._tenant_id,
                    ProviderFile.document_id == document_id,
                    ProviderFile.state == "removing",
                )
            )
        ).all()

    async def abandon(self, project_id: UUID, sha256: bytes) -> bool:
        """Begin to remove what these bytes left at the provider without a document.

        Equal bytes that come from now on are another file. Return False while the file is uploaded and has no id yet.
        """
        unowned = (*self._unowned(project_id, sha256), ProviderFile.state == "working")
        named_or_left = ProviderFile.provider_id.is_not(None) | (ProviderFile.lease_until <= func.now())
        await self._session.execute(update(ProviderFile).where(*unowned, named_or_left).values(state="removing"))
        return (await self._session.scalar(select(ProviderFile.id).where(*unowned))) is None

    async def abandoned(self, project_id: UUID, sha256: bytes) -> Sequence[ProviderFile]:
        """Return the files that these bytes left at the provider and that no document has."""
        unowned = (*self._unowned(project_id, sha256), ProviderFile.state == "removing")
        return (await self._session.scalars(select(ProviderFile).where(*unowned))).all()

    def _unowned(self, project_id: UUID, sha256: bytes) -> tuple[ColumnElement[bool], ...]:
        return (
            ProviderFile.tenant_id == self._tenant_id,
            ProviderFile.project_id == project_id,
            ProviderFile.sha256 == sha256,
            ProviderFile.document_id.is_(None),
        )

    async def withdrawn(self, project_id: UUID) -> Sequence[UUID]:
        """Return the newest files at the provider whose document is hidden or not there yet."""
        return (
            await self._session.scalars(
                select(ProviderFile.id)
                .where(
                    ProviderFile.tenant_id == self._tenant_id,
                    ProviderFile.project_id == project_id,
                    (ProviderFile.state == "removing")
                    | (ProviderFile.document_id.is_(None) & ProviderFile.provider_id.is_not(None)),
                )
                .order_by(ProviderFile.updated_at.desc())
                .limit(MOST_WITHDRAWN)
            )
        ).all()

    async def visible(self, project_id: UUID, provider_ids: Collection[str]) -> set[str]:
        """Return those of the provider's ids that are files of visible documents."""
        return set(
            await self._session.scalars(
                select(ProviderFile.provider_id).where(
                    ProviderFile.tenant_id == self._tenant_id,
                    ProviderFile.project_id == project_id,
                    ProviderFile.provider_id.in_(provider_ids),
                    ProviderFile.document_id.is_not(None),
                    ProviderFile.state != "removing",
                )
            )
        )

    async def delete_file(self, file_id: UUID) -> None:
        await self._session.execute(
            delete(ProviderFile).where(ProviderFile.tenant_id == self._tenant_id, ProviderFile.id == file_id)
        )


async def damaged_stores(session: AsyncSession, limit: int) -> list[tuple[UUID, UUID]]:
    """Return tenant and project of stores that need a rebuild now. The session needs the system role."""
    mine = (ProviderStore.tenant_id, ProviderStore.project_id)
    due = ProviderStore.lease_until <= func.now()
    gone = select(*mine).where(due, ProviderStore.state.in_(("lost", "filling")))
    incomplete = select(*mine).where(due, ProviderStore.state == "ready", _UNATTACHED.exists())
    return [(row.tenant_id, row.project_id) for row in await session.execute(union(gone, incomplete).limit(limit))]
