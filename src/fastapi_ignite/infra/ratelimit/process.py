"""Rolling windows of this process's own requests, which decide while Redis is away."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi_ignite.infra.ratelimit.script import EXACT_UP_TO, GRAIN_SECONDS, WINDOW_SECONDS

MAX_KEYS = 100_000


@dataclass(slots=True)
class Entry:
    """Holds the units taken at one time; Redis does not know `owed` of them."""

    at: float
    units: int
    owed: int


@dataclass(frozen=True, slots=True)
class Debt:
    """Names units that Redis must still be told of."""

    entry: Entry
    units: int


class ProcessWindow:
    """Counts one key's units by the rules of the script. Times are those of a clock that never goes back."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._used = 0
        self._may_owe = False  # else there are up to a thousand entries to look through, for nothing

    @property
    def used(self) -> int:
        """The units taken within the window when `expire` was last called."""
        return self._used

    @property
    def newest(self) -> float:
        """The time at which the last unit was taken."""
        return self._entries[-1].at if self._entries else -math.inf

    def expire(self, now: float) -> None:
        """Give back the units that were taken a window ago."""
        while self._entries and self._entries[0].at + WINDOW_SECONDS <= now:
            self._used -= self._entries.popleft().units

    def add(self, now: float, units: int, *, limit: int, owed: bool) -> None:
        """Take units without asking whether they fit."""
        at = now if limit <= EXACT_UP_TO else math.ceil(now / GRAIN_SECONDS) * GRAIN_SECONDS
        if self._entries and self._entries[-1].at >= at:
            entry = self._entries[-1]
        else:
            entry = Entry(at, 0, 0)
            self._entries.append(entry)
        entry.units += units
        if owed:
            self.owe(entry, units)
        self._used += units

    def free_at(self, units: int) -> float:
        """Return the time at which so many of the units taken will be back."""
        freed = 0
        for entry in self._entries:
            freed += entry.units
            if freed >= units:
                return entry.at + WINDOW_SECONDS
        return self.newest + WINDOW_SECONDS

    def owe(self, entry: Entry, units: int) -> None:
        """Remember that Redis must be told of these units."""
        entry.owed += units
        self._may_owe = True

    def take_debts(self) -> list[Debt]:
        """Return what Redis must be told; each unit is returned once."""
        if not self._may_owe:
            return []
        self._may_owe = False
        debts = [Debt(entry, entry.owed) for entry in self._entries if entry.owed]
        for debt in debts:
            debt.entry.owed = 0
        return debts

    def put_back(self, debts: Sequence[Debt]) -> None:
        """Owe these again, because Redis was not told."""
        for debt in debts:
            self.owe(debt.entry, debt.units)


class ProcessWindows:
    """Holds the windows by key. Windows that are over are dropped as others are used, and beyond `MAX_KEYS` the least
    recently used one.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[str, ProcessWindow] = OrderedDict()

    def current(self, key: str, now: float) -> ProcessWindow:
        """Return the key's window, without the units that are over."""
        window = self._windows.setdefault(key, ProcessWindow())
        self._windows.move_to_end(key)
        window.expire(now)
        self._drop_old(now)
        return window

    def _drop_old(self, now: float) -> None:
        for _ in range(2):  # more than one for each that is added, so that the old ones grow fewer
            oldest = next(iter(self._windows))
            over = self._windows[oldest].newest + WINDOW_SECONDS <= now
            if len(self._windows) == 1 or not (over or len(self._windows) > MAX_KEYS):
                return
            del self._windows[oldest]
