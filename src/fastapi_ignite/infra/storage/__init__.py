"""Storage of uploaded files, outside the database: a local folder, or with `s3` a bucket."""

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
