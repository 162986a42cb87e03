"""Compare the revision of a database with the revisions that this code knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SchemaState = Literal["ok", "behind", "ahead"]


@dataclass(frozen=True, slots=True)
class SchemaHistory:
    """`head` is the revision that this code was written for, `revisions` are all revisions up to it."""

    head: str
    revisions: frozenset[str]

    def state_of(self, revision: str | None) -> SchemaState:
        """Return `behind` if the database is older than this code needs.

        `ahead` means that this code does not know the revision, so newer code has migrated the database. Migrations
        keep the code of the previous version working (see DEVELOPER-GUIDE.md), so this code still works.
        """
        if revision == self.head:
            return "ok"
        return "behind" if revision is None or revision in self.revisions else "ahead"
