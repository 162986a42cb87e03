"""This module defines the errors that ingestion raises."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError, InvalidInputError, NotFoundError, UnavailableError
from fastapi_ignite.usage.errors import QuotaExceededError


class NoFilesError(InvalidInputError):
    """The upload has no file."""

    code = "no_files"
    title = "No files"


class EmptyFileError(InvalidInputError):
    """Every file of the upload has zero bytes."""

    code = "empty_file"
    title = "Empty file"


class FileUnknownError(NotFoundError):
    """The id is unknown, removed, or another tenant's or project's."""

    code = "file_not_found"
    title = "Unknown file"


class TooManyFilesInProgressError(IgniteError):
    """The tenant has as many unfinished files as it may."""

    status = 429
    code = "too_many_files_in_progress"
    title = "Too many files in progress"


class TooManyBytesInFlightError(IgniteError):
    """The tenant's uploads have as many bytes on their way as they may."""

    status = 429
    code = "too_many_bytes_in_flight"
    title = "Too many uploads at a time"


class UploadExpiredError(UnavailableError):
    """The upload's lease ended, and what it held was given to others."""

    code = "upload_expired"
    title = "The upload was given up"


class StorageFullError(QuotaExceededError):
    """The tenant stores as many bytes as it may."""

    code = "storage_quota_exceeded"
    title = "Storage quota exceeded"
