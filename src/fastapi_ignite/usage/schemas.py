"""Responses of usage reports."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fastapi_ignite.usage.models import LedgerEntry, LedgerReason, Metric

ENTRY_EXAMPLE: JsonDict = {
    "id": "0197a1f0-7c1e-7b3a-9d2f-3f5b6c7d8e9f",
    "metric": "messages",
    "amount": 1,
    "reason": "settled",
    "day": "2024-06-02",
    "quota_period_start": "2024-06-01",
    "reservation_id": "0197a1f0-7a00-7c55-8a11-0b1c2d3e4f50",
    "created_at": "2024-06-02T12:34:56.123456Z",
}


class DayUsage(BaseModel):
    """The usage of a UTC day. Projects are negative if more were removed than created."""

    day: date
    projects: int = 0
    messages: int = 0
    characters: int = 0


class UsageTotals(BaseModel):
    """The sums of the days shown."""

    projects: int = 0
    messages: int = 0
    characters: int = 0


class UsageByDay(BaseModel):
    """The usage of every day of the range, also of days without usage."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "start": "2024-06-01",
                    "end": "2024-06-02",
                    "days": [
                        {"day": "2024-06-01", "projects": 1, "messages": 0, "characters": 1205},
                        {"day": "2024-06-02", "projects": 0, "messages": 1, "characters": 0},
                    ],
                    "totals": {"projects": 1, "messages": 1, "characters": 1205},
                }
            ]
        }
    )

    start: date
    end: date
    days: list[DayUsage]
    totals: UsageTotals


class LedgerEntryRead(BaseModel):
    """Units that were counted. An entry never changes."""

    id: UUID
    metric: Metric
    amount: int = Field(description="Negative if units were given back.")
    reason: LedgerReason
    day: date = Field(description="The UTC day on which the units count: the day of the reservation.")
    quota_period_start: date | None = Field(
        description="First day of the quota month in which the units count; null for projects."
    )
    reservation_id: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, entry: LedgerEntry) -> LedgerEntryRead:
        return cls(
            id=entry.id,
            metric=Metric(entry.metric),
            amount=entry.amount,
            reason=LedgerReason(entry.reason),
            day=entry.day,
            quota_period_start=None if entry.metric == Metric.PROJECTS else entry.period_start,
            reservation_id=entry.reservation_id,
            created_at=entry.created_at,
        )


class LedgerPage(BaseModel):
    """A page of entries, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"entries": [ENTRY_EXAMPLE], "next_after": ENTRY_EXAMPLE["id"]}]}
    )

    entries: list[LedgerEntryRead]
    next_after: UUID | None = Field(description="Send it as `after` to get the next page. It is null on the last page.")
