"""Counters that decide, reservations that hold, and rows by day and month that report."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped

# projects are a level, not a flow: their one window begins here
PROJECTS_PERIOD_START = date(1970, 1, 1)


class Metric(StrEnum):
    """What is counted."""

    PROJECTS = "projects"
    MESSAGES = "messages"
    CHARACTERS = "characters"


class UsageCounter(Timestamped, Base):
    """One row decides one window of one metric: every reservation goes through its row lock."""

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
    """Units held for work in progress. Settle and release act on `held` only, so repeating them changes nothing.

    `expires_at` null: the owner of the work (a file's state machine) always ends it.
    """

    __tablename__ = "usage_reservations"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("state IN ('held', 'settled', 'released')", name="state"),
        Index("ix_usage_reservations_held", "expires_at", postgresql_where=text("state = 'held'")),
    )

    metric: Mapped[str]
    period_start: Mapped[date]
    day: Mapped[date]
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    expires_at: Mapped[datetime | None]


class LedgerReason(StrEnum):
    """Why units were counted. `opening`: what a database held before it had a ledger."""

    SETTLED = "settled"
    TAKEN = "taken"
    GIVEN_BACK = "given_back"
    OPENING = "opening"


class LedgerEntry(TenantScoped, Base):
    """Units counted for good. Rows are added only: no role of the program may change or remove one.

    The entries of a window sum to its counter's `used`, those of a day to its row in `usage_daily`.
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
    """Counted units by UTC day of their reservation; the days of a window sum to its counter.

    Of projects it is what the day added, below zero when more were removed. A day may still grow when it is long over:
    `updated_at` tells the roll-up.
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
    """The days of a calendar month summed up by the roll-up; `month` is its first day."""

    __tablename__ = "usage_monthly"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)


class UsageWatermark(Base):
    """How far a roll-up has come. Belongs to no tenant."""

    __tablename__ = "usage_watermarks"

    name: Mapped[str] = mapped_column(primary_key=True)
    reached: Mapped[datetime]
