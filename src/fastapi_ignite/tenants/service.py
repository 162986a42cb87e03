"""Reads and renames a tenant for itself; lists, suspends and resumes tenants for administrators."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core import clock
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.models import Tenant
from fastapi_ignite.tenants.repository import TenantRepo
from fastapi_ignite.tenants.schemas import OwnTenantRead, TenantList, TenantRead


class TenantService:
    """One tenant, for itself. It works in the tenant's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._tenants = TenantRepo(session)
        self._audit = AuditLog(session)
        self._tenant_id = tenant_id

    async def read(self) -> OwnTenantRead:
        """Return the tenant.

        Raises:
            TenantNotFoundError: The token names a tenant that does not exist.
        """
        return OwnTenantRead.of(await self._get())

    async def rename(self, name: str) -> OwnTenantRead:
        """Change the name. Raises as `read` does."""
        tenant = await self._get(lock=True)
        if tenant.name != name:
            self._audit.record(self._tenant_id, Action.TENANT_RENAMED, self._tenant_id, name=name, before=tenant.name)
            tenant.name = name
        return OwnTenantRead.of(tenant)

    async def _get(self, *, lock: bool = False) -> Tenant:
        tenant = await self._tenants.get(self._tenant_id, lock=lock)
        if tenant is None:
            raise TenantNotFoundError("No tenant has the id in the token.")
        return tenant


class TenantAdminService:
    """Manages tenants for administrators. It works in an operator's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._tenants = TenantRepo(session)
        self._audit = AuditLog(session)

    async def page(
        self, *, limit: int, after: UUID | None, name: str | None, status: Literal["active", "suspended"] | None
    ) -> TenantList:
        """Return a page, oldest first. `name` may be any part of a tenant's name, in any case."""
        rows = await self._tenants.page(limit=limit + 1, after=after, name=name, status=status)
        erased = await self._tenants.erased_among([row.id for row in rows])
        shown = [TenantRead.of(row, erasing=row.id in erased) for row in rows[:limit]]
        has_more = len(rows) > limit
        return TenantList(tenants=shown, has_more=has_more, next_after=shown[-1].id if has_more else None)

    async def read(self, tenant_id: UUID) -> TenantRead:
        return await self._shown(await self._get(tenant_id))

    async def suspend(self, tenant_id: UUID, reason: str) -> TenantRead:
        """Refuse the tenant's requests; its data stays. If it is suspended already, only the reason changes."""
        tenant = await self._get(tenant_id, lock=True)
        if tenant.suspended_at is None or tenant.suspension_reason != reason:
            tenant.suspended_at = tenant.suspended_at or clock.now()
            tenant.suspension_reason = reason
            self._audit.record(tenant_id, Action.TENANT_SUSPENDED, tenant_id, reason=reason)
        return await self._shown(tenant)

    async def resume(self, tenant_id: UUID) -> TenantRead:
        """Accept requests again. Nothing happens to a tenant that is not suspended."""
        tenant = await self._get(tenant_id, lock=True)
        if tenant.suspended_at is not None:
            tenant.suspended_at = tenant.suspension_reason = None
            self._audit.record(tenant_id, Action.TENANT_RESUMED, tenant_id)
        return await self._shown(tenant)

    async def _shown(self, tenant: Tenant) -> TenantRead:
        return TenantRead.of(tenant, erasing=bool(await self._tenants.erased_among([tenant.id])))

    async def _get(self, tenant_id: UUID, *, lock: bool = False) -> Tenant:
        tenant = await self._tenants.get(tenant_id, lock=lock)
        if tenant is None:
            raise TenantNotFoundError("No tenant has this id.")
        return tenant
