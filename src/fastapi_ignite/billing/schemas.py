"""Shapes of plans and subscriptions."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fastapi_ignite.billing.models import BillingCycle, Plan

# text, not the enumeration itself: an unknown cycle has a code of its own
Cycle = Annotated[
    str,
    Field(description="`monthly` or `annual`.", max_length=20, json_schema_extra={"enum": [*BillingCycle]}),
]


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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "plan_id": "pro",
                    "plan_name": "Pro",
                    "billing_cycle": "annual",
                    "period_start": "2024-06-01",
                    "period_end": "2025-05-31",
                    "quota_period_start": "2024-06-01",
                    "quota_period_end": "2024-06-30",
                    "limits": {"max_projects": 10, "monthly_message_cap": 20000, "monthly_upload_char_cap": 2000000},
                }
            ]
        }
    )

    status: str = "ok"
