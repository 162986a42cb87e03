"""This module defines the errors of usage and quotas."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, InvalidInputError


class QuotaExceededError(IgniteError):
    """The plan's cap has no room for the units asked for; none of them was taken."""

    status = 402
    code = "quota_exceeded"
    title = "Quota exceeded"
    example = Example(
        "The plan allows 100 messages. 100 are used or reserved, and 1 more were requested.",
        metric="messages",
        cap=100,
        used=99,
        reserved=1,
        requested=1,
        resets_at="2030-02-01T00:00:00+00:00",
    )


class InvalidRangeError(InvalidInputError):
    """The days are in the wrong order, or too many."""

    code = "invalid_range"
    title = "Invalid range of days"
    example = Example("The range must have 1 to 366 days, with start before end.", max_days=366)
