"""HTTP operations of usage reports."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import PrincipalDep, SessionDep
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.usage.errors import InvalidRangeError
from fastapi_ignite.usage.reports import UsageReports
from fastapi_ignite.usage.schemas import LedgerPage, UsageByDay

router = tenant_router("/usage", "usage", "Usage by day, and every single entry.")


async def _service(principal: PrincipalDep, session: SessionDep) -> UsageReports:
    return UsageReports(session, principal.tenant_id)


UsageReportsDep = Annotated[UsageReports, Depends(_service)]


@router.get("", openapi_extra=requires(Scope.USAGE_READ), responses=responses(InvalidRangeError))
async def read_usage(
    service: UsageReportsDep,
    start: Annotated[date | None, Query(description="First UTC day. Default: 29 days before `end`.")] = None,
    end: Annotated[date | None, Query(description="Last UTC day, included. Default: today.")] = None,
) -> UsageByDay:
    """Report usage by day and metric, for up to 366 days."""
    return await service.by_day(start=start, end=end)


@router.get("/ledger", openapi_extra=requires(Scope.USAGE_READ))
async def read_ledger(
    service: UsageReportsDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    after: Annotated[UUID | None, Query(description="`next_after` of the previous page.")] = None,
) -> LedgerPage:
    """List every unit that was counted, newest first."""
    return await service.ledger(after=after, limit=limit)
