"""Shapes of the limits view."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fastapi_ignite.billing.schemas import SubscriptionPeriods


class UsageFigures(BaseModel):
    """What counts against the caps."""

    projects: int
    messages_used: int
    chars_uploaded: int


class CurrentLimits(SubscriptionPeriods):
    """Plan, windows, caps and usage."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subscribed": True,
                    "plan_id": "pro",
                    "plan_name": "Pro",
                    "billing_cycle": "annual",
                    "period_start": "2024-06-01",
                    "period_end": "2025-05-31",
                    "quota_period_start": "2024-06-01",
                    "quota_period_end": "2024-06-30",
                    "limits": {"max_projects": 10, "monthly_message_cap": 20000, "monthly_upload_char_cap": 2000000},
                    "usage": {"projects": 2, "messages_used": 15, "chars_uploaded": 12000},
                }
            ]
        }
    )

    subscribed: Literal[True] = True
    usage: UsageFigures
