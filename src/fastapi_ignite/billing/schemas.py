"""Shapes of plans and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.models import BillingCycle, Plan
from fastapi_ignite.billing.stored_subscription import StoredPlan
from fastapi_ignite.billing.terms import SubscriptionStatus
from fastapi_ignite.http.fields import Name

MAX_AMOUNT = 10**15

# plain text and not the enumeration, because an unknown cycle has an error code of its own
Cycle = Annotated[
    str,
    Field(description="`monthly` or `annual`.", max_length=20, json_schema_extra={"enum": [*BillingCycle]}),
]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]

PLAN_EXAMPLE: JsonDict = {
    "id": "pro",
    "name": "Pro",
    "limits": {"max_projects": 10, "monthly_message_cap": 20000, "monthly_upload_char_cap": 2000000},
    "rate_limit_rpm": None,
    "monthly_price": 0,
    "annual_price": 0,
    "currency": "USD",
    "active": True,
}
PERIODS_EXAMPLE: JsonDict = {
    "plan_id": "pro",
    "plan_name": "Pro",
    "billing_cycle": "annual",
    "period_start": "2024-06-01",
    "period_end": "2025-05-31",
    "quota_period_start": "2024-06-01",
    "quota_period_end": "2024-06-30",
    "limits": {"max_projects": 10, "monthly_message_cap": 20000, "monthly_upload_char_cap": 2000000},
}


class PlanLimits(BaseModel):
    """The plan's caps."""

    max_projects: int
    monthly_message_cap: int
    monthly_upload_char_cap: int

    @classmethod
    def of(cls, plan: StoredPlan) -> PlanLimits:
        """Build it from the plan."""
        return cls(
            max_projects=plan.max_projects,
            monthly_message_cap=plan.monthly_message_cap,
            monthly_upload_char_cap=plan.monthly_upload_char_cap,
        )


class PlanRead(BaseModel):
    """A plan."""

    model_config = ConfigDict(json_schema_extra={"examples": [PLAN_EXAMPLE]})

    id: str
    name: str
    limits: PlanLimits
    rate_limit_rpm: int | None = Field(description="Requests a minute; null means the server's `RATE_LIMIT_RPM`.")
    monthly_price: int = Field(description="Of a monthly window, in the currency's smallest unit.")
    annual_price: int = Field(description="Of an annual window, in the currency's smallest unit.")
    currency: str
    active: bool = Field(description="Whether it can be taken.")

    @classmethod
    def of(cls, plan: Plan) -> PlanRead:
        """Build it from the plan."""
        return cls(
            id=plan.id,
            name=plan.name,
            limits=PlanLimits.of(plan),
            rate_limit_rpm=plan.rate_limit_rpm,
            monthly_price=plan.monthly_price,
            annual_price=plan.annual_price,
            currency=plan.currency,
            active=plan.active,
        )


class PlanList(BaseModel):
    """The plans that can be taken, by id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"plans": [PLAN_EXAMPLE]}]})

    plans: list[PlanRead]

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> PlanList:
        return cls(plans=[PlanRead.of(plan) for plan in plans])


class PlanChange(BaseModel):
    """Changes to a plan. A new plan needs its caps. Only `rate_limit_rpm` may be set to null."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"monthly_message_cap": 50000}]})

    name: Name | None = None
    max_projects: Amount | None = None
    monthly_message_cap: Amount | None = None
    monthly_upload_char_cap: Amount | None = None
    rate_limit_rpm: Annotated[int, Field(ge=1, le=10**9)] | None = None
    monthly_price: Amount | None = None
    annual_price: Amount | None = None
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$", max_length=3)] | None = None
    active: bool | None = None

    @model_validator(mode="after")
    def _null_means_nothing_else(self) -> Self:
        null = [name for name in self.model_fields_set - {"rate_limit_rpm"} if getattr(self, name) is None]
        if null:
            raise ValueError(f"{', '.join(sorted(null))}: leave out what stays as it is")
        return self


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

    @staticmethod
    def fields_of(active: ActiveSubscription) -> dict[str, Any]:
        """Return the fields that every answer about a subscription begins with."""
        return {
            "plan_id": active.plan.id,
            "plan_name": active.plan.name,
            "billing_cycle": active.billing_cycle,
            "period_start": active.billing.start,
            "period_end": active.billing.end,
            "quota_period_start": active.quota.start,
            "quota_period_end": active.quota.end,
            "limits": PlanLimits.of(active.plan),
        }


class ScheduledChange(BaseModel):
    """A change of the plan that applies from a later day on."""

    model_config = ConfigDict(from_attributes=True)

    plan_id: str
    plan_name: str
    billing_cycle: BillingCycle
    effective_on: date = Field(description="The first day of the new plan.")


class SubscribeResult(SubscriptionPeriods):
    """The subscription as it is now. `scheduled`: the plan asked for follows on `effective_on`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "ok", **PERIODS_EXAMPLE, "effective_on": "2024-06-01", "scheduled": None}]
        }
    )

    status: Literal["ok", "scheduled"] = "ok"
    effective_on: date = Field(description="From when on the plan asked for holds.")
    scheduled: ScheduledChange | None = Field(description="The downgrade asked for.")

    @classmethod
    def of(cls, active: ActiveSubscription) -> SubscribeResult:
        scheduled = active.scheduled
        return cls(
            **cls.fields_of(active),
            status="scheduled" if scheduled else "ok",
            effective_on=scheduled.effective_on if scheduled else active.day,
            scheduled=ScheduledChange.model_validate(scheduled) if scheduled else None,
        )


class SubscriptionRead(SubscriptionPeriods):
    """The subscription as it is now, and what is to come."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subscribed": True,
                    "status": "active",
                    **PERIODS_EXAMPLE,
                    "scheduled": None,
                    "ends_on": None,
                    "past_due_since": None,
                    "grace_ends_on": None,
                },
                {
                    "subscribed": True,
                    "status": "canceling",
                    **PERIODS_EXAMPLE,
                    "scheduled": None,
                    "ends_on": "2025-06-01",
                    "past_due_since": None,
                    "grace_ends_on": None,
                },
            ]
        }
    )

    subscribed: Literal[True] = True
    status: SubscriptionStatus
    scheduled: ScheduledChange | None = Field(description="The downgrade that waits for the end of the billing window.")
    ends_on: date | None = Field(description="The first day without the plan, once canceled.")
    past_due_since: date | None = Field(description="The billing window that is not paid.")
    grace_ends_on: date | None = Field(description="The first day that is not served if it stays unpaid.")

    @classmethod
    def of(cls, active: ActiveSubscription) -> SubscriptionRead:
        return cls(
            **cls.fields_of(active),
            status=active.status,
            scheduled=ScheduledChange.model_validate(active.scheduled) if active.scheduled else None,
            ends_on=active.terms.ends_on,
            past_due_since=active.terms.past_due_on,
            grace_ends_on=active.terms.grace_ends_on,
        )


class NotSubscribed(BaseModel):
    """The tenant has no plan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"subscribed": False}]})

    subscribed: Literal[False] = False
