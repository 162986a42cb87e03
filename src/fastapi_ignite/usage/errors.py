"""This module defines the errors of usage and quotas."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError, InvalidInputError


class QuotaExceededError(IgniteError):
    """The plan's cap has no room for the units asked for; none of them was taken."""

    status = 402
    code = "quota_exceeded"
    title = "Quota exceeded"


class InvalidRangeError(InvalidInputError):
    """The days are in the wrong order, or too many."""

    code = "invalid_range"
    title = "Invalid range of days"
