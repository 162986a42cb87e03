"""This module defines the errors that billing raises."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError, InvalidInputError, NotFoundError


class UnknownCycleError(InvalidInputError):
    """The billing cycle is neither monthly nor annual."""

    code = "invalid_billing_cycle"
    title = "Unknown billing cycle"


class SubscriptionRequiredError(IgniteError):
    """The tenant has no plan, or it has ended."""

    status = 402
    code = "subscription_required"
    title = "Subscription required"


class PaymentOverdueError(IgniteError):
    """The grace period is over; the tenant must pay what it owes first."""

    status = 402
    code = "payment_overdue"
    title = "Payment overdue"


class UnknownPlanError(NotFoundError):
    """No plan has this id, or the plan cannot be taken any more."""

    code = "plan_not_found"
    title = "Unknown plan"


class IncompletePlanError(InvalidInputError):
    """A new plan came without all of its caps."""

    code = "plan_incomplete"
    title = "Incomplete plan"
