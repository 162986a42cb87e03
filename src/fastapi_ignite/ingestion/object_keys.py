"""How the keys of stored uploads are made and read. The scheduler reads them, and receives no upload."""

from __future__ import annotations

from uuid import UUID


def upload_prefix(tenant_id: UUID, project_id: UUID, upload_id: UUID) -> str:
    """How the keys of an upload's objects begin: whose they are, and of which upload."""
    return f"{tenant_id}/{project_id}/{upload_id}."


def upload_of(key: str) -> tuple[UUID, UUID] | None:
    """Tenant and upload of an object's key; null for the keys of other things, and those of earlier releases."""
    try:
        tenant, project, name = key.split("/")
        upload, dot, _ = name.partition(".")
        return (UUID(tenant), UUID(upload)) if dot and UUID(project) else None
    except ValueError:
        return None
