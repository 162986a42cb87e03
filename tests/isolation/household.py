"""A tenant with something of everything, for others to look for."""

from __future__ import annotations

from dataclasses import dataclass

from http_clients import TenantClient

FACT = "The vault of the north wing opens with the code heliotrope."
QUESTION = "What opens the vault of the north wing?"


@dataclass(frozen=True, slots=True)
class Household:
    """A tenant with a row in every table."""

    tenant: TenantClient
    project: str
    file: str
    conversation: str
    message: str
