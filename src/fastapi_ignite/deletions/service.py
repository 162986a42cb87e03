"""Shows the receipts of a tenant's deletions."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.deletions.errors import DeletionNotFoundError
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.deletions.schemas import DeletionList, DeletionRead


class DeletionService:
    """The deletions of one tenant. It works in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._deletions = DeletionRepo(session, tenant_id)

    async def read(self, deletion_id: UUID) -> DeletionRead:
        """Return a receipt.

        Raises:
            DeletionNotFoundError: Nothing of this tenant with this id was deleted.
        """
        deletion = await self._deletions.get(deletion_id)
        if deletion is None:
            raise DeletionNotFoundError("Nothing of this tenant with this id was deleted.")
        return DeletionRead.of(deletion)

    async def page(self, *, limit: int, after: UUID | None) -> DeletionList:
        """Return a page, ordered by id."""
        return DeletionList.of(await self._deletions.page(limit=limit + 1, after=after), limit)
