"""Subscriptions over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from fastapi_ignite.billing.errors import (
    IncompletePlanError,
    PaymentOverdueError,
    SubscriptionRequiredError,
    UnknownCycleError,
    UnknownPlanError,
)
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import (
    Cycle,
    NotSubscribed,
    PlanChange,
    PlanList,
    PlanRead,
    SubscribeResult,
    SubscriptionRead,
)
from fastapi_ignite.billing.service import BillingService, parse_cycle
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.admission import idempotent
from fastapi_ignite.http.deps import OperatorDep, PrincipalDep, SessionDep
from fastapi_ignite.http.fields import Text
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import admin_router, public_router, requires, tenant_router
from fastapi_ignite.tenants.errors import TenantNotFoundError

router = tenant_router("/billing", "billing", "Plans, and the subscription of the tenant.")
plans_router = public_router("/plans", "billing")
admin = admin_router("/plans")


async def _service(principal: PrincipalDep, session: SessionDep) -> BillingService:
    return BillingService(session, principal.tenant_id)


async def _plan_service(session: SessionDep) -> PlanService:
    return PlanService(session)


async def _plan_admin_service(session: OperatorDep) -> PlanService:
    return PlanService(session)


BillingServiceDep = Annotated[BillingService, Depends(_service)]
PlanServiceDep = Annotated[PlanService, Depends(_plan_service)]
PlanAdminServiceDep = Annotated[PlanService, Depends(_plan_admin_service)]
PlanId = Annotated[Text, Path(min_length=1, max_length=100, examples=["pro"])]


@router.post(
    "/subscribe",
    openapi_extra=requires(Scope.BILLING_WRITE),
    dependencies=[idempotent("/billing/subscription")],
    responses=responses(UnknownPlanError, TenantNotFoundError, UnknownCycleError, PaymentOverdueError),
)
async def subscribe(
    service: BillingServiceDep,
    plan_id: Annotated[Text, Query(min_length=1, max_length=100, examples=["pro"])],
    cycle: Annotated[Cycle, Query()] = "monthly",
) -> SubscribeResult:
    """Put the tenant on a plan: at once, or after the billing window when it is a downgrade. Usage is kept."""
    return SubscribeResult.of(await service.subscribe(plan_id=plan_id, cycle=parse_cycle(cycle)))


@router.get("/subscription", openapi_extra=requires(Scope.BILLING_READ))
async def read_subscription(service: BillingServiceDep) -> SubscriptionRead | NotSubscribed:
    """The tenant's plan, its windows and what is scheduled; `{"subscribed": false}` without a plan."""
    active = await service.current()
    return SubscriptionRead.of(active) if active else NotSubscribed()


@router.post(
    "/cancel",
    openapi_extra=requires(Scope.BILLING_WRITE),
    dependencies=[idempotent("/billing/subscription")],
    responses=responses(SubscriptionRequiredError),
)
async def cancel(service: BillingServiceDep) -> SubscriptionRead | NotSubscribed:
    """End the subscription with its billing window. Nothing is deleted. Until then `resume` undoes it.

    One that ended unpaid stays ended: `{"subscribed": false}`.
    """
    active = await service.cancel()
    return SubscriptionRead.of(active) if active else NotSubscribed()


@router.post(
    "/resume",
    openapi_extra=requires(Scope.BILLING_WRITE),
    dependencies=[idempotent("/billing/subscription")],
    responses=responses(SubscriptionRequiredError),
)
async def resume(service: BillingServiceDep) -> SubscriptionRead:
    """Withdraw a cancellation or a scheduled downgrade: the subscription goes on as it is."""
    return SubscriptionRead.of(await service.resume())


@plans_router.get("")
async def list_plans(
    service: PlanServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    skip: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> PlanList:
    """The plans that can be taken, by id. No token needed."""
    return PlanList.of(await service.list_all(active_only=True, limit=limit, skip=skip))


@admin.get("")
async def list_all_plans(
    service: PlanAdminServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    skip: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> PlanList:
    """Every plan by id, those that cannot be taken any more too."""
    return PlanList.of(await service.list_all(limit=limit, skip=skip))


@admin.put("/{plan_id}", responses=responses(IncompletePlanError))
async def put_plan(service: PlanAdminServiceDep, plan_id: PlanId, change: PlanChange) -> PlanRead:
    """Make a plan, or change what is sent of one. It acts at once on every tenant of the plan."""
    return PlanRead.of(await service.put(plan_id, change))


@admin.delete("/{plan_id}", responses=responses(UnknownPlanError))
async def deactivate_plan(service: PlanAdminServiceDep, plan_id: PlanId) -> PlanRead:
    """Make the plan inactive: nobody can subscribe to it, but its tenants keep it. `PUT` with `active` undoes this."""
    return PlanRead.of(await service.deactivate(plan_id))
