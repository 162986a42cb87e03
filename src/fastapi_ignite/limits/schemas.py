"""Shapes of the limits view."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fastapi_ignite.billing.schemas import PERIODS_EXAMPLE, SubscriptionPeriods


class UsageFigures(BaseModel):
    """The usage that counts against the caps."""

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
                    **PERIODS_EXAMPLE,
                    "usage": {"projects": 2, "messages_used": 15, "chars_uploaded": 12000},
                }
            ]
        }
    )

    subscribed: Literal[True] = True
    usage: UsageFigures
