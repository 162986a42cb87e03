"""Creating tenants over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from fastapi_ignite.billing.errors import UnknownCycleError, UnknownPlanError
from fastapi_ignite.billing.schemas import Cycle
from fastapi_ignite.billing.service import parse_cycle
from fastapi_ignite.core.security import InvalidTokenError
from fastapi_ignite.http.authentication import require_admin
from fastapi_ignite.http.deps import DatabaseDep, SettingsDep, ensure_idempotent
from fastapi_ignite.http.fields import Name, Text
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import public_router
from fastapi_ignite.infra.idempotency import Claim
from fastapi_ignite.onboarding.schemas import TenantCreated
from fastapi_ignite.onboarding.service import OnboardingService

router = public_router(
    "/tenants", "tenants", "Create, suspend and resume tenants. In production, creating one requires an admin key."
)


async def _service(database: DatabaseDep) -> OnboardingService:
    return OnboardingService(database)


OnboardingServiceDep = Annotated[OnboardingService, Depends(_service)]


@router.post("/create", responses=responses(UnknownPlanError, UnknownCycleError, InvalidTokenError))
async def create_tenant(
    request: Request,
    settings: SettingsDep,
    service: OnboardingServiceDep,
    claim: Annotated[Claim | None, ensure_idempotent("/limits/current", public=True)],
    name: Annotated[Name, Query(examples=["Acme Co"])],
    plan_id: Annotated[Text, Query(min_length=1, max_length=100, examples=["hobby"])],
    billing_cycle: Annotated[Cycle, Query()] = "monthly",
) -> TenantCreated:
    """Create a tenant with its first subscription. Production requires an admin key as bearer token."""
    if not settings.app.signup_open:
        await require_admin(request)
    return await service.create(name=name, plan_id=plan_id, cycle=parse_cycle(billing_cycle), claim=claim)
