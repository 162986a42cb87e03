"""Makes and reads the keys of stored uploads."""

from __future__ import annotations

from uuid import UUID


def upload_prefix(tenant_id: UUID, project_id: UUID, upload_id: UUID) -> str:
    """Return how the keys of an upload's objects begin: with tenant, project and upload."""
    return f"{tenant_id}/{project_id}/{upload_id}."


def upload_of(key: str) -> tuple[UUID, UUID] | None:
    """Return tenant and upload of an object's key, or None for keys of other things and of earlier releases."""
    try:
        tenant, project, name = key.split("/")
        upload, dot, _ = name.partition(".")
        return (UUID(tenant), UUID(upload)) if dot and UUID(project) else None
    except ValueError:
        return None
