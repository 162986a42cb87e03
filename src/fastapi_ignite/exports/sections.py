"""Lists what an export contains, by tables and columns, so that a new internal column is not exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, TableClause, column, select, table
from sqlalchemy.dialects.postgresql import JSONB


@dataclass(frozen=True, slots=True)
class ExportSection:
    """One file of JSON lines. `key` orders the rows, and its columns must be selected."""

    name: str
    table: TableClause
    key: tuple[str, ...] = ("id",)
    tenant_column: str = "tenant_id"
    conditions: tuple[ColumnElement[bool], ...] = ()

    def place(self, row: dict[str, Any]) -> Sequence[Any]:
        """Return the values of the key, which tell where the row is in the order."""
        return [row[name] for name in self.key]


def _table(name: str, *columns: str, json: tuple[str, ...] = ()) -> TableClause:
    return table(name, *(column(each, JSONB) if each in json else column(each) for each in columns))


LONGEST_EXTENSION = 10
TIMES = ("created_at", "updated_at")
_REMOVED = ("deleting", "deleted")
_PRESENT = table("files", column("id"), column("state")).alias("present")
_NOT_REMOVED = select(_PRESENT.c.id).where(_PRESENT.c.state.not_in(_REMOVED))

SECTIONS = (
    ExportSection("tenant", _table("tenants", "id", "name", "plan_id", "billing_cycle", *TIMES), tenant_column="id"),
    ExportSection(
        "subscription",
        _table(
            "subscriptions",
            "tenant_id",
            "id",
            "plan_id",
            "billing_cycle",
            "billing_anchor",
            "quota_anchor",
            "pending_plan_id",
            "pending_billing_cycle",
            "pending_on",
            "ends_on",
            "past_due_on",
            "grace_ends_on",
            *TIMES,
        ),
    ),
    ExportSection(
        "projects",
        _table(
            "projects",
            "tenant_id",
            "id",
            "name",
            "metadata",
            "engine",
            "vector_store_id",
            "deleted_at",
            *TIMES,
            json=("metadata",),
        ),
        conditions=(column("deleted_at").is_(None),),
    ),
    ExportSection(
        "deletions",
        _table(
            "deletions",
            "tenant_id",
            "id",
            "kind",
            "project_id",
            "state",
            "files",
            "chunks",
            "bytes",
            "conversations",
            "messages",
            "provider_objects",
            "provider_ids",
            "projects",
            "completed_at",
            *TIMES,
        ),
    ),
    ExportSection(
        "files",
        _table(
            "files",
            "tenant_id",
            "id",
            "project_id",
            "batch_id",
            "filename",
            "byte_count",
            "sha256",
            "storage_key",
            "state",
            "char_count",
            "deduplicated",
            "last_error",
            "attributes",
            "completed_at",
            "version",
            "uploaded_at",
            "uploaded_by",
            *TIMES,
            json=("last_error", "attributes", "uploaded_by"),
        ),
        conditions=(column("state").not_in(_REMOVED), column("version_of").is_(None)),
    ),
    ExportSection(
        "file_versions",
        _table(
            "files",
            "tenant_id",
            "id",
            "version_of",
            "version",
            "filename",
            "byte_count",
            "sha256",
            "char_count",
            "uploaded_at",
            "uploaded_by",
            "replaced_at",
            json=("uploaded_by",),
        ),
        conditions=(column("version_of").in_(_NOT_REMOVED), column("replaced_at").is_not(None)),
    ),
    ExportSection("conversations", _table("conversations", "tenant_id", "id", "project_id", *TIMES)),
    ExportSection(
        "messages",
        _table(
            "messages",
            "tenant_id",
            "id",
            "conversation_id",
            "role",
            "content",
            "state",
            "reply_to",
            "engine",
            "answerable",
            "citations",
            "tokens_in",
            "tokens_out",
            "tokens_cached",
            "tokens_reasoning",
            "tokens_estimated",
            "truncated",
            "feedback_rating",
            "feedback_comment",
            "feedback_at",
            *TIMES,
            json=("citations",),
        ),
    ),
    ExportSection(
        "api_keys",
        _table(
            "api_keys",
            "tenant_id",
            "id",
            "name",
            "hint",
            "role",
            "scopes",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "replaced_by",
        ),
    ),
    ExportSection(
        "audit",
        _table(
            "audit_events",
            "tenant_id",
            "id",
            "created_at",
            "actor_kind",
            "actor_id",
            "action",
            "target",
            "details",
            "request_id",
            "address",
            json=("details",),
        ),
    ),
    ExportSection("usage", _table("usage_daily", "tenant_id", "metric", "day", "amount"), key=("metric", "day")),
    ExportSection(
        "usage_ledger",
        _table(
            "usage_ledger",
            "tenant_id",
            "id",
            "metric",
            "period_start",
            "day",
            "amount",
            "reason",
            "reservation_id",
            "created_at",
        ),
    ),
    ExportSection(
        "usage_months", _table("usage_monthly", "tenant_id", "metric", "month", "amount"), key=("metric", "month")
    ),
)
FILES = next(section for section in SECTIONS if section.name == "files")


def upload_path(file_id: UUID, filename: str) -> str:
    """Return the path of an upload in the archive. Of the caller's name it keeps only a plain extension."""
    _, dot, extension = filename.rpartition(".")
    plain = dot and extension.isascii() and extension.isalnum() and len(extension) <= LONGEST_EXTENSION
    return f"uploads/{file_id}{dot + extension.lower() if plain else ''}"
