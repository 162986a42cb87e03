"""The one source of the current time, so that tests can move it."""

from __future__ import annotations

from datetime import UTC, date, datetime


def now() -> datetime:
    """UTC, with offset."""
    return datetime.now(UTC)


def today() -> date:
    """The UTC day; quota windows and daily counters turn at UTC midnight."""
    return now().date()
