"""The limits view over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from fastapi_ignite.billing.schemas import NotSubscribed
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import DatabaseDep, PrincipalDep
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.limits.schemas import CurrentLimits
from fastapi_ignite.limits.service import LimitsService

router = tenant_router("/limits", "limits", "The limits of the plan, and how much of them is used.")


async def _service(principal: PrincipalDep, database: DatabaseDep) -> LimitsService:
    return LimitsService(database, principal.tenant_id)


LimitsServiceDep = Annotated[LimitsService, Depends(_service)]


@router.get("/current", openapi_extra=requires(Scope.USAGE_READ))
async def current_limits(service: LimitsServiceDep) -> CurrentLimits | NotSubscribed:
    """Plan caps and what of them is used; `{"subscribed": false}` without a plan."""
    return await service.current()
