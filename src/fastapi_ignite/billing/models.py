"""Plans and subscriptions."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from fastapi_ignite.billing.terms import TERMS_COLUMNS, BillingCycle, Terms
from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped

__all__ = ["BillingCycle", "Plan", "Subscription"]


class Plan(Timestamped, Base):
    """A plan that tenants subscribe to. `rate_limit_rpm` null means the setting `RATE_LIMIT_RPM`.

    Prices are in the currency's smallest unit. A plan that is not active can be kept, but not taken.
    """

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("max_projects >= 0", name="max_projects"),
        CheckConstraint("monthly_message_cap >= 0", name="monthly_message_cap"),
        CheckConstraint("monthly_upload_char_cap >= 0", name="monthly_upload_char_cap"),
        CheckConstraint("rate_limit_rpm BETWEEN 1 AND 1000000000", name="rate_limit_rpm"),
        CheckConstraint("monthly_price >= 0", name="monthly_price"),
        CheckConstraint("annual_price >= 0", name="annual_price"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    max_projects: Mapped[int] = mapped_column(BigInteger)
    monthly_message_cap: Mapped[int] = mapped_column(BigInteger)
    monthly_upload_char_cap: Mapped[int] = mapped_column(BigInteger)
    rate_limit_rpm: Mapped[int | None]
    monthly_price: Mapped[int] = mapped_column(BigInteger, server_default="0")
    annual_price: Mapped[int] = mapped_column(BigInteger, server_default="0")
    currency: Mapped[str] = mapped_column(server_default="USD")
    active: Mapped[bool] = mapped_column(server_default=text("true"))

    def is_less_than(self, other: Plan, cycle: BillingCycle) -> bool:
        """Tell whether a change from `other` to this plan is a downgrade in that cycle.

        The prices decide. Where they are equal, or a plan has no price, the caps decide.
        """
        price, its = self.price(cycle), other.price(cycle)
        if self.currency == other.currency and price and its and price != its:
            return price < its
        caps = list(zip(self.caps, other.caps, strict=True))
        return any(own < its for own, its in caps) and not any(own > its for own, its in caps)

    def price(self, cycle: BillingCycle) -> int:
        """Return the price of one window; 0 where the plan has no price in that cycle."""
        return self.annual_price if cycle is BillingCycle.ANNUAL else self.monthly_price

    @property
    def caps(self) -> tuple[int, int, int]:
        """The caps on projects, messages and characters, in this order."""
        return self.max_projects, self.monthly_message_cap, self.monthly_upload_char_cap


class Subscription(TenantScoped, Timestamped, Base):
    """A tenant's plan. Windows are never stored: `periods` computes them from the anchors, so none is ever stale.

    A scheduled change acts on its day for every reader (`terms`); the scheduler only writes it into the row.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("tenant_id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("billing_cycle IN ('monthly', 'annual')", name="billing_cycle"),
        CheckConstraint("pending_billing_cycle IN ('monthly', 'annual')", name="pending_billing_cycle"),
        CheckConstraint("num_nulls(pending_plan_id, pending_billing_cycle, pending_on) IN (0, 3)", name="pending"),
        CheckConstraint("pending_on IS NULL OR ends_on IS NULL", name="one_end"),
        CheckConstraint("num_nulls(past_due_on, grace_ends_on) IN (0, 2)", name="grace"),
        Index("ix_subscriptions_pending_on", "pending_on", postgresql_where=text("pending_on IS NOT NULL")),
    )

    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    billing_cycle: Mapped[str]
    billing_anchor: Mapped[date]
    quota_anchor: Mapped[date]
    pending_plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"))
    pending_billing_cycle: Mapped[str | None]
    pending_on: Mapped[date | None]
    ends_on: Mapped[date | None]
    past_due_on: Mapped[date | None]
    grace_ends_on: Mapped[date | None]
    synced_at: Mapped[datetime | None]
    # the moment of the change, not the start of its transaction: what follows a call of the provider is later than it
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())

    stored_plan: Mapped[Plan] = relationship(foreign_keys=plan_id, lazy="raise")
    pending_plan: Mapped[Plan | None] = relationship(foreign_keys=pending_plan_id, lazy="raise")

    def plan_on(self, day: date) -> Plan:
        """Return the plan of the day. A scheduled change counts from its day on, also where the row lacks it."""
        return self.pending_plan if self.pending_plan and self.terms.has_changed(day) else self.stored_plan

    @property
    def terms(self) -> Terms:
        """The terms as stored. `terms.on(day)` returns those of a day."""
        return Terms.stored(*(getattr(self, column) for column in TERMS_COLUMNS))

    @terms.setter
    def terms(self, terms: Terms) -> None:
        pending = terms.pending
        self.plan_id = terms.plan_id
        self.billing_cycle = terms.cycle
        self.billing_anchor = terms.billing_anchor
        self.quota_anchor = terms.quota_anchor
        self.pending_plan_id = pending.plan_id if pending else None
        self.pending_billing_cycle = pending.cycle if pending else None
        self.pending_on = pending.effective_on if pending else None
        self.ends_on = terms.ends_on
        self.past_due_on = terms.past_due_on
        self.grace_ends_on = terms.grace_ends_on
