"""A clock that stands on a day which the test chooses, and usage windows found by counting days."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

from fastapi_ignite.core import clock

ONE_DAY = timedelta(days=1)


class Calendar:
    """A clock that stands still until a test moves it."""

    def __init__(self, today: date) -> None:
        self.today = today

    def now(self) -> datetime:
        """Return noon of the present day."""
        return datetime.combine(self.today, time(12), tzinfo=UTC)

    def pass_days(self, number: int) -> date:
        """Move the clock by this number of days, and return the new day."""
        self.today += number * ONE_DAY
        return self.today


@contextmanager
def calendar_at(today: date) -> Iterator[Calendar]:
    """Make the whole program read a calendar that stands on this day."""
    moved, real = Calendar(today), clock.now
    clock.now = moved.now
    try:
        yield moved
    finally:
        clock.now = real


def begins_window(anchor: date, day: date, *, annual: bool) -> bool:
    """Tell whether `day` has the anchor's day of the month, or is the last day of a month without such a day."""
    last = calendar.monthrange(day.year, day.month)[1]
    return day.day == min(anchor.day, last) and (not annual or day.month == anchor.month)


def walk(anchor: date, until: date, *, annual: bool) -> Iterator[tuple[date, date]]:
    """Yield each day from the anchor on, with the first day of its window."""
    day = start = anchor
    while day <= until:
        if begins_window(anchor, day, annual=annual):
            start = day
        yield day, start
        day += ONE_DAY


def window_by_walking(anchor: date, day: date, *, annual: bool) -> tuple[date, date]:
    """Return the first and the last day of the window of `day`, found without arithmetic on months."""
    start = day
    while start > anchor and not begins_window(anchor, start, annual=annual):
        start -= ONE_DAY
    end = day + ONE_DAY
    while not begins_window(anchor, end, annual=annual):
        end += ONE_DAY
    return start, end - ONE_DAY
