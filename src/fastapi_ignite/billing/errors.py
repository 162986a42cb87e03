"""This module defines the errors that billing raises."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, InvalidInputError, NotFoundError


class UnknownCycleError(InvalidInputError):
    """The billing cycle is neither monthly nor annual."""

    code = "invalid_billing_cycle"
    title = "Unknown billing cycle"
    example = Example("A billing cycle is 'monthly' or 'annual'.", allowed=["monthly", "annual"])


class SubscriptionRequiredError(IgniteError):
    """The tenant has no plan, or it has ended."""

    status = 402
    code = "subscription_required"
    title = "Subscription required"
    example = Example("This tenant has no active subscription; see POST /billing/subscribe.")


class PaymentOverdueError(IgniteError):
    """The grace period is over; the tenant must pay what it owes first."""

    status = 402
    code = "payment_overdue"
    title = "Payment overdue"
    example = Example("The last billing window was not paid; pay it first.")


class UnknownPlanError(NotFoundError):
    """No plan has this id, or the plan cannot be taken any more."""

    code = "plan_not_found"
    title = "Unknown plan"
    example = Example("No plan with this id can be taken.", plan_id="gold")


class IncompletePlanError(InvalidInputError):
    """A new plan came without all of its caps."""

    code = "plan_incomplete"
    title = "Incomplete plan"
    example = Example("A new plan needs all of its caps.", missing=["message_cap"])
