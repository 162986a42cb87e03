"""Defines what `doctor` reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `fail` means that the program does not work."""

    subject: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str
