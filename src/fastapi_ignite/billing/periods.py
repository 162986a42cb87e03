"""Billing and quota windows, always computed from their anchor: Jan 31 → Feb 28 → Mar 31."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Window:
    """UTC days, both included."""

    start: date
    end: date

    @property
    def resets_on(self) -> date:
        """The first day of the next window."""
        return self.end + timedelta(days=1)


def add_months(anchor: date, months: int) -> date:
    """The anchor's day of the month, or the last one of a shorter month."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))


def window_at(anchor: date, months: int, day: date) -> Window:
    """The window of `months` months that holds `day`, counted from `anchor`; days before it are in the first one."""
    elapsed = (day.year - anchor.year) * 12 + day.month - anchor.month
    index = max(0, elapsed // months)
    if index and add_months(anchor, index * months) > day:
        index -= 1
    return Window(add_months(anchor, index * months), add_months(anchor, (index + 1) * months) - timedelta(days=1))
