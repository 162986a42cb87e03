"""Plans and subscriptions."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped


class BillingCycle(StrEnum):
    """How long a billing window lasts."""

    MONTHLY = "monthly"
    ANNUAL = "annual"

    @property
    def months(self) -> int:
        """The length of a billing window."""
        return 12 if self is BillingCycle.ANNUAL else 1


class Plan(Timestamped, Base):
    """What a subscription buys. `rate_limit_rpm` null means the setting `RATE_LIMIT_RPM`."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("max_projects >= 0", name="max_projects"),
        CheckConstraint("monthly_message_cap >= 0", name="monthly_message_cap"),
        CheckConstraint("monthly_upload_char_cap >= 0", name="monthly_upload_char_cap"),
        CheckConstraint("rate_limit_rpm BETWEEN 1 AND 1000000000", name="rate_limit_rpm"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    max_projects: Mapped[int] = mapped_column(BigInteger)
    monthly_message_cap: Mapped[int] = mapped_column(BigInteger)
    monthly_upload_char_cap: Mapped[int] = mapped_column(BigInteger)
    rate_limit_rpm: Mapped[int | None]


class Subscription(TenantScoped, Timestamped, Base):
    """A tenant's plan. Windows are computed from the anchors (`periods`), never stored, so none is ever stale."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("tenant_id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("billing_cycle IN ('monthly', 'annual')", name="billing_cycle"),
    )

    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    billing_cycle: Mapped[str]
    billing_anchor: Mapped[date]
    quota_anchor: Mapped[date]

    plan: Mapped[Plan] = relationship(lazy="raise")
