"""Storage of uploaded files, outside the database."""

from fastapi_ignite.infra.storage.base import ListedObject, Storage, StoredObject, UploadWriter
from fastapi_ignite.infra.storage.incoming import ReceivedFile, UploadBody, UploadTarget
from fastapi_ignite.infra.storage.local import LocalStorage

__all__ = [
    "ListedObject",
    "LocalStorage",
    "ReceivedFile",
    "Storage",
    "StoredObject",
    "UploadBody",
    "UploadTarget",
    "UploadWriter",
]
