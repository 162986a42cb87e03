"""The limits view over HTTP."""

from __future__ import annotations

from fastapi_ignite.billing.schemas import NotSubscribed
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import PrincipalDep, SessionDep
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.limits.schemas import CurrentLimits
from fastapi_ignite.limits.service import LimitsService

router = tenant_router("/limits", "limits")


@router.get("/current", openapi_extra=requires(Scope.USAGE_READ))
async def current_limits(principal: PrincipalDep, session: SessionDep) -> CurrentLimits | NotSubscribed:
    """Plan caps and what of them is used; `{"subscribed": false}` without a plan."""
    return await LimitsService(session, principal.tenant_id).current()
