"""Removes in a worker everything that an erased tenant held."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from fastapi_ignite.audit.repository import count_events, erase_events
from fastapi_ignite.billing.provider import BillingProvider
from fastapi_ignite.billing.provider_sync import ProviderSync
from fastapi_ignite.deletions.models import Deletion
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.deletions.runner import DeletionRunner
from fastapi_ignite.erasure.repository import ErasureRepo, tables_of_tenants
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.infra.tenant_keys import TenantKeys
from fastapi_ignite.ingestion.project_deletion import ProjectRemover

ROWS_AT_ONCE = 1000


class TenantRemover:
    """Removes an erased tenant. Its transactions are of the system, bounded, and add to the receipt what they remove.

    Each step removes whatever it finds, so an erasure that broke off goes on from its first step.
    """

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        projects: ProjectRemover,
        provider: BillingProvider,
        keys: TenantKeys,
    ) -> None:
        self._database = database
        self._storage = storage
        self._projects = projects
        self._billing = ProviderSync(database, provider, grace_days=0)
        self._tenant_keys = keys

    async def run(self, tenant_id: UUID, deletion_id: UUID) -> None:
        """Remove it if nobody else does. It is safe to call at any time and any number of times."""
        await DeletionRunner(self._database).run(tenant_id, deletion_id, self._remove)

    async def _remove(self, deletion: Deletion) -> None:
        # first: the provider learns of the end from the row that goes with the others
        await self._billing.tell(deletion.tenant_id)
        await self._remove_projects(deletion)
        await self._remove_objects(deletion)
        await self._remove_exports(deletion)
        await self._remove_rows(deletion)
        await self._remove_tenant(deletion)
        # once more, because some tables do not refer to the tenant, and could be written until now
        await self._remove_rows(deletion)
        await self._tenant_keys.remove(deletion.tenant_id)
        await self._remove_events(deletion)
        async with self._database.system() as session:
            kept = await count_events(session, deletion.tenant_id)
            deletions = DeletionRepo(session, deletion.tenant_id)
            await deletions.advance(deletion.id, deletion.attempt, kept_events=kept)
            await deletions.complete(deletion)

    async def _remove_projects(self, deletion: Deletion) -> None:
        while True:
            async with self._database.system() as session:
                rows = ErasureRepo(session, deletion.tenant_id)
                await rows.hide_projects()
                project_id = await rows.next_project()
            if project_id is None:
                return
            await self._projects.remove_project(deletion, project_id)

    async def _remove_objects(self, deletion: Deletion) -> None:
        """Delete every object of the tenant, also those that no row names."""
        async with aclosing(self._keys(f"{deletion.tenant_id}/")) as keys:
            async for key in keys:
                await self._storage.delete(key)

    async def _keys(self, prefix: str) -> AsyncGenerator[str]:
        async with aclosing(self._storage.objects(after=prefix)) as pages:
            async for page in pages:
                for each in page:
                    if not each.key.startswith(prefix):
                        return
                    yield each.key

    async def _remove_exports(self, deletion: Deletion) -> None:
        async with self._database.system() as session:
            sizes = await ErasureRepo(session, deletion.tenant_id).delete_exports()
            await DeletionRepo(session, deletion.tenant_id).add_counts(deletion, exports=len(sizes), bytes=sum(sizes))

    async def _remove_rows(self, deletion: Deletion) -> None:
        async with self._database.system() as session:
            tables = await tables_of_tenants(session)
        for table in tables:
            removed = ROWS_AT_ONCE
            while removed >= ROWS_AT_ONCE:
                async with self._database.system() as session:
                    removed = await ErasureRepo(session, deletion.tenant_id).delete_some(table, ROWS_AT_ONCE)
                    await DeletionRepo(session, deletion.tenant_id).add_counts(deletion, other_rows=removed)

    async def _remove_tenant(self, deletion: Deletion) -> None:
        async with self._database.system() as session:
            removed = await ErasureRepo(session, deletion.tenant_id).delete_tenant()
            await DeletionRepo(session, deletion.tenant_id).add_counts(deletion, other_rows=int(removed))

    async def _remove_events(self, deletion: Deletion) -> None:
        removed = 1
        while removed:
            async with self._database.system() as session:
                removed = await erase_events(session, deletion.tenant_id, limit=ROWS_AT_ONCE)
