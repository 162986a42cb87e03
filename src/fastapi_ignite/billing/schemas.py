"""Shapes of plans and subscriptions."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field

from fastapi_ignite.billing.models import BillingCycle, Plan


class PlanLimits(BaseModel):
    """The plan's caps."""

    max_projects: int
    monthly_message_cap: int
    monthly_upload_char_cap: int

    @classmethod
    def of(cls, plan: Plan) -> PlanLimits:
        """The caps of a plan."""
        return cls(
            max_projects=plan.max_projects,
            monthly_message_cap=plan.monthly_message_cap,
            monthly_upload_char_cap=plan.monthly_upload_char_cap,
        )


class SubscriptionPeriods(BaseModel):
    """A subscription's plan and windows; every end day is included."""

    plan_id: str
    plan_name: str
    billing_cycle: BillingCycle
    period_start: date = Field(description="First day of the billing window.")
    period_end: date = Field(description="Last day of the billing window.")
    quota_period_start: date = Field(description="First day of the month the caps count in.")
    quota_period_end: date = Field(description="Last day of the month the caps count in.")
    limits: PlanLimits


class SubscribeResult(SubscriptionPeriods):
    """The subscription as it is now."""

    status: str = "ok"
