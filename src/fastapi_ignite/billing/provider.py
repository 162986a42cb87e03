"""The interface of payment providers."""

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
    """The provider reports one of these for an account."""

    PAID = "paid"
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class Account:
    """A subscription as the provider should record it. It is always the whole state, never a difference.

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
    """A payment provider, whose record of each account is kept equal to ours.

    `sync` is called outside of transactions, after every change and once a day. It may be called several times with
    the same account, so an implementation uses `subscription_id` and the window as its idempotency key. Prorating is
    left to the provider, as with Stripe's subscriptions. A webhook of the provider needs no state: it only asks for
    another call. If the provider cannot be reached, `sync` raises; the subscription stays, and the call is repeated.
    """

    name: str
    collects: bool

    async def sync(self, account: Account) -> PaymentStatus:
        """Make the provider's record of the account equal to ours, and return whether the account is paid."""
        ...


class NoPayment:
    """The provider of a service that bills nobody: every account counts as paid."""

    name = "none"
    collects = False

    async def sync(self, account: Account) -> PaymentStatus:
        del account
        return PaymentStatus.PAID


def make_provider(settings: Settings) -> BillingProvider:
    """Return the provider that `BILLING_PROVIDER` names."""
    return {"none": NoPayment}[settings.billing.provider]()
