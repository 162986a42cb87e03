"""Shapes of the limits view."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from fastapi_ignite.billing.schemas import SubscriptionPeriods


class UsageFigures(BaseModel):
    """What counts against the caps."""

    projects: int
    messages_used: int
    chars_uploaded: int


class CurrentLimits(SubscriptionPeriods):
    """Plan, windows, caps and usage."""

    subscribed: Literal[True] = True
    usage: UsageFigures


class NotSubscribed(BaseModel):
    """The tenant has no plan."""

    subscribed: Literal[False] = False
