"""Reads and changes plans, for the command line and for administrators over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.errors import IncompletePlanError, UnknownPlanError
from fastapi_ignite.billing.models import Plan
from fastapi_ignite.billing.repository import PlanRepo
from fastapi_ignite.billing.schemas import PlanChange

NEEDED = ("max_projects", "monthly_message_cap", "monthly_upload_char_cap")


class PlanService:
    """The plans. It works in the caller's transaction; only an operator's or a system transaction may change plans."""

    def __init__(self, session: AsyncSession) -> None:
        self._plans = PlanRepo(session)
        self._audit = AuditLog(session)

    async def list_all(self, *, active_only: bool = False, limit: int | None = None, skip: int = 0) -> Sequence[Plan]:
        """Return the plans ordered by id."""
        return await self._plans.list_all(active_only=active_only, limit=limit, skip=skip)

    async def get(self, plan_id: str) -> Plan:
        """Return the plan, active or not.

        Raises:
            UnknownPlanError: No plan has this id.
        """
        plan = await self._plans.get(plan_id)
        if plan is None:
            raise UnknownPlanError("No plan has this id.", plan_id=plan_id[:100])
        return plan

    async def put(self, plan_id: str, change: PlanChange) -> Plan:
        """Make the plan, or change the given fields. The change acts at once on every tenant of the plan.

        Raises:
            IncompletePlanError: The plan is new and caps are missing; `missing` names them.
        """
        values = change.model_dump(exclude_unset=True)
        if await self._plans.get(plan_id) is None:
            missing = [name for name in NEEDED if values.get(name) is None]
            if missing:
                raise IncompletePlanError("A new plan needs all of its caps.", missing=missing)
            made = {"name": plan_id, **values}
            if await self._plans.add(plan_id, made):
                values = made
        return await self._change(plan_id, values)

    async def deactivate(self, plan_id: str) -> Plan:
        """Make the plan unavailable for tenants that do not have it; those that have it keep it."""
        await self.get(plan_id)
        return await self._change(plan_id, {"active": False})

    async def _change(self, plan_id: str, values: dict[str, Any]) -> Plan:
        plan = await self._plans.change(plan_id, values)
        self._audit.record_service_event(Action.PLAN_CHANGED, plan_id, **values)
        return plan
