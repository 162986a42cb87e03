"""Uploaded bytes, outside the database."""

from fastapi_ignite.infra.storage.base import Storage, StoredObject, UploadWriter
from fastapi_ignite.infra.storage.local import LocalStorage

__all__ = ["LocalStorage", "Storage", "StoredObject", "UploadWriter"]
