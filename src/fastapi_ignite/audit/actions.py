"""The names of the actions in the audit log."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """The form is `object.event`."""

    TENANT_CREATED = "tenant.created"
    TENANT_RENAMED = "tenant.renamed"
    TENANT_SUSPENDED = "tenant.suspended"
    TENANT_RESUMED = "tenant.resumed"
    TENANT_ERASED = "tenant.erased"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    PROJECT_CREATED = "project.created"
    PROJECT_CHANGED = "project.changed"
    PROJECT_DELETED = "project.deleted"
    FILES_UPLOADED = "files.uploaded"
    FILE_UPDATED = "file.updated"
    FILE_REMOVED = "file.removed"
    FILE_CANCELLED = "file.cancelled"
    FILE_RETRIED = "file.retried"
    FILE_VERSION_UPLOADED = "file.version_uploaded"
    FILE_VERSION_RESTORED = "file.version_restored"
    FILES_CANCELLED = "files.cancelled"
    CONVERSATION_DELETED = "conversation.deleted"
    EXPORT_STARTED = "export.started"
    EXPORT_DOWNLOADED = "export.downloaded"
    API_KEY_CREATED = "api_key.created"
    API_KEY_ROTATED = "api_key.rotated"
    API_KEY_REVOKED = "api_key.revoked"
    ADMIN_KEY_CREATED = "admin_key.created"
    ADMIN_KEY_REVOKED = "admin_key.revoked"
    PLAN_CHANGED = "plan.changed"
