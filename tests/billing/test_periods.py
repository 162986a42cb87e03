from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_ignite.billing.periods import window_at
from support.fixed_days import ONE_DAY, walk, window_by_walking

LAST_DAY = date(2034, 12, 31)
ANCHORS = [date(2024, 1, day) for day in range(1, 32)] + [date(2024, 2, 29), date(2027, 2, 28), date(2025, 12, 31)]


@pytest.mark.parametrize(
    ("anchor", "months", "day", "start", "end"),
    [
        ("2026-01-31", 1, "2026-01-31", "2026-01-31", "2026-02-27"),
        ("2026-01-31", 1, "2026-02-28", "2026-02-28", "2026-03-30"),
        ("2026-01-31", 1, "2026-03-31", "2026-03-31", "2026-04-29"),
        ("2024-02-29", 12, "2025-02-28", "2025-02-28", "2026-02-27"),
        ("2024-02-29", 12, "2028-03-01", "2028-02-29", "2029-02-27"),
        ("2024-06-01", 1, "2024-06-30", "2024-06-01", "2024-06-30"),
        ("2024-06-01", 12, "2025-05-31", "2024-06-01", "2025-05-31"),
    ],
)
def test_windows_are_counted_from_the_anchor(anchor: str, months: int, day: str, start: str, end: str) -> None:
    window = window_at(date.fromisoformat(anchor), months, date.fromisoformat(day))
    assert (window.start.isoformat(), window.end.isoformat()) == (start, end)


def test_every_day_of_eleven_years_is_in_the_window_that_walking_finds() -> None:
    """The anchors are on each day of a month and on leap days, with both cycles. Windows follow without a gap."""
    cases = 0
    for anchor in ANCHORS:
        for annual in (False, True):
            months = 12 if annual else 1
            before = None
            for day, start in walk(anchor, LAST_DAY, annual=annual):
                window = window_at(anchor, months, day)
                assert window.start == start, (anchor, day)
                if before is not None and before.start != start:
                    assert before.end + ONE_DAY == start, (anchor, day)
                before = window
                cases += 1
    assert cases >= 100_000


@given(
    anchor=st.dates(date(2024, 1, 1), date(2034, 12, 31)),
    months=st.sampled_from([1, 12]),
    days=st.integers(0, 4000),
)
def test_windows_tile_the_years(anchor: date, months: int, days: int) -> None:
    day = anchor + timedelta(days=days)
    window = window_at(anchor, months, day)
    assert window.start <= day <= window.end
    assert window_at(anchor, months, window.resets_on).start == window.resets_on
    assert window_at(anchor, months, window.end) == window
    assert (window.start, window.end) == window_by_walking(anchor, day, annual=months == 12)
