"""Creating tenants over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from fastapi_ignite.billing.errors import UnknownCycleError, UnknownPlanError
from fastapi_ignite.billing.schemas import Cycle
from fastapi_ignite.billing.service import parse_cycle
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import InvalidTokenError
from fastapi_ignite.http.authentication import require_admin
from fastapi_ignite.http.deps import DatabaseDep, SettingsDep, ensure_idempotent
from fastapi_ignite.http.fields import Name, Text
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import public_router
from fastapi_ignite.infra.idempotency import Claim, IdempotentWork
from fastapi_ignite.onboarding.schemas import TenantCreated
from fastapi_ignite.onboarding.service import OnboardingService

router = public_router("/tenants", "tenants")


@router.post("/create", responses=responses(UnknownPlanError, UnknownCycleError, InvalidTokenError))
async def create_tenant(
    request: Request,
    settings: SettingsDep,
    database: DatabaseDep,
    claim: Annotated[Claim | None, ensure_idempotent("/limits/current", public=True)],
    name: Annotated[Name, Query(examples=["Acme Co"])],
    plan_id: Annotated[Text, Query(min_length=1, max_length=100, examples=["hobby"])],
    billing_cycle: Annotated[Cycle, Query()] = "monthly",
) -> TenantCreated:
    """Make a tenant with its first subscription. Open in development; production wants an admin key as bearer."""
    if not settings.app.signup_open:
        await require_admin(request)
    cycle = parse_cycle(billing_cycle)
    tenant_id = new_id()
    async with IdempotentWork(database, claim) as work, database.tenant(tenant_id) as session:
        await work.begin(session)
        active = await OnboardingService(session, tenant_id).create(name=name, plan_id=plan_id, cycle=cycle)
        created = TenantCreated(tenant_id=tenant_id, **active.describe().model_dump())
        await work.complete(session, created)
    return created
