"""The only source of the current time, so that tests can replace it."""

from __future__ import annotations

from datetime import UTC, date, datetime


def now() -> datetime:
    """Return the current time in UTC, with its offset."""
    return datetime.now(UTC)


def today() -> date:
    """Return the current day in UTC. Quota windows and daily counters change at midnight UTC."""
    return now().date()
