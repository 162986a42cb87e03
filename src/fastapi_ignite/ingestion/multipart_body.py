"""Reads files out of a multipart body, for all operations that take files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request

from fastapi_ignite.billing.errors import SubscriptionRequiredError
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.http.filenames import InvalidFilenameError
from fastapi_ignite.http.multipart import (
    FileTooLargeError,
    MultipartLimits,
    MultipartReader,
    TooManyFilesError,
)
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError
from fastapi_ignite.ingestion.errors import (
    EmptyFileError,
    NoFilesError,
    StorageFullError,
    TooManyBytesInFlightError,
    TooManyFilesInProgressError,
    UploadExpiredError,
)
from fastapi_ignite.usage.errors import QuotaExceededError

FILE_PICKER: dict[str, Any] = {"type": "string", "format": "binary"}
# what the body itself is refused for
BODY_ERRORS: tuple[type[IgniteError], ...] = (
    NoFilesError,
    EmptyFileError,
    InvalidFilenameError,
    TooManyFilesError,
    FileTooLargeError,
    BodyTooLargeError,
    MalformedBodyError,
)
# what the plan and the tenant's storage refuse
RESERVATION_ERRORS: tuple[type[IgniteError], ...] = (
    SubscriptionRequiredError,
    QuotaExceededError,
    StorageFullError,
    TooManyFilesInProgressError,
    TooManyBytesInFlightError,
    UploadExpiredError,
)


def reader_of(
    request: Request,
    settings: Settings,
    *,
    field_name: str,
    max_files: int,
    fields: Mapping[str, Callable[[bytes], Any]] | None = None,
    keep_folders: bool = False,
) -> MultipartReader:
    """Return the reader of the request's body within the limits of the settings. `fields` read other form fields."""
    limits = MultipartLimits(
        max_file_bytes=settings.upload.max_file_bytes,
        max_request_bytes=settings.upload.max_request_bytes,
        max_files=max_files,
    )
    return MultipartReader(request, limits=limits, field_name=field_name, fields=fields, keep_folders=keep_folders)


def multipart_schema(
    field_name: str, schema: dict[str, Any], others: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Describe a body for the OpenAPI document: a field with files, and others that may be left out."""
    described = {**schema, "description": "Read as a stream; nothing is held whole in memory."}
    form = {"type": "object", "required": [field_name], "properties": {field_name: described, **(others or {})}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}
