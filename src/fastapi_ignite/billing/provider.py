"""The door to whoever collects the money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from fastapi_ignite.billing.periods import Window
from fastapi_ignite.billing.terms import BillingCycle
from fastapi_ignite.core.config import Settings


class PaymentStatus(StrEnum):
    """What the provider says of an account."""

    PAID = "paid"
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class Account:
    """A subscription as its provider should have it: the whole state, never a difference.

    `price` is that of one window, in the currency's smallest unit. `ends_on` is the first day without service; of a
    subscription that has ended, canceled or unpaid, `window` is the last one that was served.
    """

    tenant_id: UUID
    subscription_id: UUID
    plan_id: str
    cycle: BillingCycle
    window: Window
    price: int
    currency: str
    ends_on: date | None


class BillingProvider(Protocol):
    """Makes its record of an account equal to ours, and says how the account stands.

    Called outside of transactions, after every change and on every day, possibly several times with the same account:
    an implementation uses `subscription_id` and the window as its idempotency key. Prorating is the provider's affair,
    as with Stripe's subscriptions; a webhook of the provider needs no state of its own, it only asks for another call.
    It raises when it cannot be reached: the subscription stays as it is, and the call is made again.
    """

    name: str
    collects: bool

    async def sync(self, account: Account) -> PaymentStatus:
        """Bring the provider up to date."""
        ...


class NoPayment:
    """Nobody is billed: plans are granted, and every account is in order."""

    name = "none"
    collects = False

    async def sync(self, account: Account) -> PaymentStatus:
        """Nothing to tell, nothing owed."""
        del account
        return PaymentStatus.PAID


def make_provider(settings: Settings) -> BillingProvider:
    """The provider of `BILLING_PROVIDER`."""
    return {"none": NoPayment}[settings.billing.provider]()
