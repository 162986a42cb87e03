"""What this code knows of the schema's history, and where a database stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SchemaState = Literal["ok", "behind", "ahead"]


@dataclass(frozen=True, slots=True)
class SchemaHistory:
    """`head` is the revision this code was written for, `revisions` all that lead to it, itself included."""

    head: str
    revisions: frozenset[str]

    def state_of(self, revision: str | None) -> SchemaState:
        """`behind`: the database lacks what this code needs.

        `ahead`: it is at a revision this code does not know, so newer code has migrated it. A migration leaves the
        code of the version before working (DEVELOPER-GUIDE.md), which is what this process then is.
        """
        if revision == self.head:
            return "ok"
        return "behind" if revision is None or revision in self.revisions else "ahead"
