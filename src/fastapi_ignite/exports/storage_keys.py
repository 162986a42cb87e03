"""The keys of exported archives in storage."""

from __future__ import annotations

from uuid import UUID


def storage_key(tenant_id: UUID, export_id: UUID, attempt: int) -> str:
    """Return the key of the archive that an attempt wrote."""
    return f"{tenant_id}/exports/{export_id}.{attempt}.zip"


def archive_of(key: str) -> tuple[UUID, UUID] | None:
    """Return tenant and export of a key, or None for the keys of other things."""
    tenant, _, rest = key.partition("/exports/")
    try:
        return UUID(tenant), UUID(rest.partition(".")[0])
    except ValueError:
        return None
