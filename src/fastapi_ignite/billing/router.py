"""Subscriptions over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from fastapi_ignite.billing.schemas import Cycle, SubscribeResult
from fastapi_ignite.billing.service import BillingService, UnknownCycleError, UnknownPlanError, parse_cycle
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.admission import idempotent
from fastapi_ignite.http.deps import PrincipalDep, SessionDep
from fastapi_ignite.http.fields import Text
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import takes, tenant_router
from fastapi_ignite.tenants.service import TenantNotFoundError

router = tenant_router("/billing", "billing")


@router.post(
    "/subscribe",
    openapi_extra=takes(Scope.BILLING_WRITE),
    dependencies=[idempotent("/limits/current")],
    responses=responses(UnknownPlanError, TenantNotFoundError, UnknownCycleError),
)
async def subscribe(
    principal: PrincipalDep,
    session: SessionDep,
    plan_id: Annotated[Text, Query(min_length=1, max_length=100, examples=["pro"])],
    cycle: Annotated[Cycle, Query()] = "monthly",
) -> SubscribeResult:
    """Put the tenant on a plan, at once. Usage of the quota month is kept."""
    active = await BillingService(session, principal.tenant_id).subscribe(plan_id=plan_id, cycle=parse_cycle(cycle))
    return SubscribeResult(**active.describe().model_dump())
