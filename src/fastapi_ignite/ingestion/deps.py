"""Dependencies of the operations on files."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from fastapi_ignite.http.deps import DatabaseDep, EnginesDep, JobsDep, PrincipalDep, SettingsDep, StorageDep
from fastapi_ignite.ingestion.resources import TenantResources


async def _resources(
    principal: PrincipalDep,
    database: DatabaseDep,
    storage: StorageDep,
    jobs: JobsDep,
    engines: EnginesDep,
    settings: SettingsDep,
) -> TenantResources:
    return TenantResources(database, storage, jobs, engines, settings, principal.tenant_id)


ResourcesDep = Annotated[TenantResources, Depends(_resources)]
