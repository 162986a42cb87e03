"""Compare the revision of a database with the revisions that this code knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SchemaState = Literal["ok", "behind", "ahead"]

# The migrations of before the first release were merged into one for each area. Nothing leads from one of these to
# those of today, and a database that is at one of them must not be taken for one that newer code has migrated.
MERGED_REVISIONS: Final = frozenset(
    {
        "foundation",
        "local_engine",
        "files_and_messages",
        "exports_and_usage_months",
        "items_trigram",
        "lexical_plan",
        "access",
        "idempotency_answers",
        "billing_and_ledger",
        "provider_objects",
        "question_costs",
        "provider_waits",
        "store_rebuilds",
        "embedding_failures",
        "withdrawn_files",
        "storage_usage",
        "waiting_files",
        "periodic_runs",
    }
)


@dataclass(frozen=True, slots=True)
class SchemaHistory:
    """`head` is the revision that this code was written for, `revisions` are all revisions up to it."""

    head: str
    revisions: frozenset[str]

    def state_of(self, revision: str | None) -> SchemaState:
        """Return `behind` if the database is older than this code needs, or is at a merged migration.

        `ahead` means that this code does not know the revision, so newer code has migrated the database. Migrations
        keep the code of the previous version working (see DEVELOPER-GUIDE.md), so this code still works.
        """
        if revision == self.head:
            return "ok"
        return "behind" if revision is None or revision in self.revisions or self.is_merged(revision) else "ahead"

    def is_merged(self, revision: str | None) -> bool:
        return revision in MERGED_REVISIONS - self.revisions

    def advice(self, revision: str | None) -> str:
        """Return what to do with a database that is `behind`."""
        if self.is_merged(revision):
            return (
                f"The database is at migration {revision}, from before the first release. Those migrations were "
                "merged, so this code cannot migrate it. In development run 'python cli.py db reset', which removes "
                "all data. To keep the data see docs/operations.md."
            )
        return (
            f"The database is at migration {revision or 'none'}, but the code needs {self.head}. "
            "Run 'python cli.py db migrate'."
        )
