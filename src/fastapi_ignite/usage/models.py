"""Tables of usage: counters, reservations, the ledger, and sums by day and month."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped

# projects are not counted by month: their only window begins here
PROJECTS_PERIOD_START = date(1970, 1, 1)


class Metric(StrEnum):
    """Quotas count these units."""

    PROJECTS = "projects"
    MESSAGES = "messages"
    CHARACTERS = "characters"


class UsageCounter(Timestamped, Base):
    """The units of one metric in one window. Every reservation locks this row."""

    __tablename__ = "usage_counters"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("used >= 0", name="used"),
        CheckConstraint("reserved >= 0", name="reserved"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reserved: Mapped[int] = mapped_column(BigInteger, server_default="0")


class UsageReservation(TenantScoped, Timestamped, Base):
    """Units reserved for work in progress. Only `held` ones can be settled or released, so repeating has no effect.

    If `expires_at` is null, the owner of the work (like the state machine of a file) must end it.
    """

    __tablename__ = "usage_reservations"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("state IN ('held', 'settled', 'released')", name="state"),
        Index("ix_usage_reservations_held", "expires_at", postgresql_where=text("state = 'held'")),
        # rows come in the order of time, so a few pages of this kind of index are enough to find the oldest
        Index("ix_usage_reservations_created_at", "created_at", postgresql_using="brin"),
    )

    metric: Mapped[str]
    period_start: Mapped[date]
    day: Mapped[date]
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    expires_at: Mapped[datetime | None]


class LedgerReason(StrEnum):
    """Why units were counted. `opening` is the usage from before the ledger existed."""

    SETTLED = "settled"
    TAKEN = "taken"
    GIVEN_BACK = "given_back"
    OPENING = "opening"


class LedgerEntry(TenantScoped, Base):
    """Units that were finally counted. Rows are only added: no role of the program may change or remove one.

    Only the database's function `erase_ledger` removes those of an erased tenant. The entries of a window add up to the
    `used` of its counter, and those of a day to its row in `usage_daily`.
    """

    __tablename__ = "usage_ledger"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("reason IN ('settled', 'taken', 'given_back', 'opening')", name="reason"),
    )

    metric: Mapped[str]
    period_start: Mapped[date]
    day: Mapped[date]
    amount: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    reservation_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UsageDaily(Base):
    """Counted units by the UTC day of their reservation. The days of a window add up to its counter.

    For projects it is the change on the day, which is negative if more were removed than added. A past day may still
    change, which the roll-up sees by `updated_at`.
    """

    __tablename__ = "usage_daily"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("ix_usage_daily_updated_at", "updated_at"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UsageMonthly(Base):
    """The sum of a calendar month, which the roll-up computes. `month` is its first day."""

    __tablename__ = "usage_monthly"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)


class UsageWatermark(Base):
    """The time up to which a roll-up has processed changes. The table belongs to no tenant."""

    __tablename__ = "usage_watermarks"

    name: Mapped[str] = mapped_column(primary_key=True)
    reached: Mapped[datetime]
