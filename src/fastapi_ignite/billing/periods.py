"""Billing and quota windows. Each is computed from the anchor, never from the window before: Jan 31, Feb 28, Mar 31."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Window:
    """A range of UTC days; both ends are included."""

    start: date
    end: date

    @property
    def resets_on(self) -> date:
        """The first day of the next window."""
        return self.end + timedelta(days=1)


def add_months(anchor: date, months: int) -> date:
    """Return the anchor's day in a later month, or the last day of a shorter month."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))


def window_at(anchor: date, months: int, day: date) -> Window:
    """Return the window of `months` months that contains `day`. Days before `anchor` are in the first window."""
    elapsed = (day.year - anchor.year) * 12 + day.month - anchor.month
    index = max(0, elapsed // months)
    if index and add_months(anchor, index * months) > day:
        index -= 1
    return Window(add_months(anchor, index * months), add_months(anchor, (index + 1) * months) - timedelta(days=1))
