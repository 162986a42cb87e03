"""Creating tenants over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from fastapi_ignite.billing.schemas import Cycle
from fastapi_ignite.billing.service import UnknownCycleError, UnknownPlanError, parse_cycle
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import InvalidTokenError
from fastapi_ignite.http.authentication import require_admin
from fastapi_ignite.http.deps import DatabaseDep, PublicClaimDep, SettingsDep
from fastapi_ignite.http.fields import Name, Text
from fastapi_ignite.http.idempotency import answer_of
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import public_router
from fastapi_ignite.infra.idempotency import IdempotencyStore
from fastapi_ignite.onboarding.schemas import TenantCreated
from fastapi_ignite.onboarding.service import OnboardingService

router = public_router("/tenants", "tenants")


@router.post("/create", responses=responses(UnknownPlanError, UnknownCycleError, InvalidTokenError))
async def create_tenant(
    request: Request,
    settings: SettingsDep,
    database: DatabaseDep,
    claim: PublicClaimDep,
    name: Annotated[Name, Query(examples=["Acme Co"])],
    plan_id: Annotated[Text, Query(min_length=1, max_length=100, examples=["hobby"])],
    billing_cycle: Annotated[Cycle, Query()] = "monthly",
) -> TenantCreated:
    """Make a tenant with its first subscription. Open in development; production wants an admin key as bearer."""
    if not settings.app.signup_open:
        await require_admin(request)
    cycle = parse_cycle(billing_cycle)
    tenant_id = new_id()
    async with database.tenant(tenant_id) as session:
        if claim:
            await IdempotencyStore(session).claim(claim)
        active = await OnboardingService(session, tenant_id).create(name=name, plan_id=plan_id, cycle=cycle)
        created = TenantCreated(tenant_id=tenant_id, **active.describe().model_dump())
        if claim:
            resource = f"{settings.app.api_prefix}/v1/limits/current"
            await IdempotencyStore(session).complete(claim, resource=resource, answer=answer_of(created))
    return created
