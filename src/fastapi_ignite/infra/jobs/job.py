"""What a kind of work is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """The lower number goes first, as in Dramatiq's worker; RabbitMQ counts the other way."""

    INTERACTIVE = 0
    BACKGROUND = 1
    BULK = 2

    @property
    def of_message(self) -> int:
        """The same as a priority of RabbitMQ."""
        return max(Priority) - self


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of work. `time_limit`: milliseconds."""

    name: str
    queue: str
    priority: Priority
    time_limit: int = 600_000
