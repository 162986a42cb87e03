"""This module defines the errors that ingestion raises."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, InvalidInputError, NotFoundError, UnavailableError
from fastapi_ignite.usage.errors import QuotaExceededError


class NoFilesError(InvalidInputError):
    """The upload has no file."""

    code = "no_files"
    title = "No files"
    example = Example("Send at least one file in the form field 'files'.")


class EmptyFileError(InvalidInputError):
    """Every file of the upload has zero bytes."""

    code = "empty_file"
    title = "Empty file"
    example = Example("The file has no bytes.", filenames=["notes.txt"])


class FileUnknownError(NotFoundError):
    """The id is unknown, removed, or another tenant's or project's."""

    code = "file_not_found"
    title = "Unknown file"
    example = Example("This project has no file with this id.")


class TooManyFilesInProgressError(IgniteError):
    """The tenant has as many unfinished files as it may."""

    status = 429
    code = "too_many_files_in_progress"
    title = "Too many files in progress"
    example = Example(
        "9800 files are still in progress and 200 on their way; this tenant may have 10000. Wait for some of them."
    )


class TooManyBytesInFlightError(IgniteError):
    """The tenant's uploads have as many bytes on their way as they may."""

    status = 429
    code = "too_many_bytes_in_flight"
    title = "Too many uploads at a time"
    example = Example(
        "Uploads of this tenant have 1073741824 bytes on their way, and it may have 1073741824 at a time. "
        "Wait for some of them."
    )


class UploadExpiredError(UnavailableError):
    """The upload's lease ended, and what it held was given to others."""

    code = "upload_expired"
    title = "The upload was given up"


class StorageFullError(QuotaExceededError):
    """The tenant stores as many bytes as it may."""

    code = "storage_quota_exceeded"
    title = "Storage quota exceeded"
    example = Example(
        "The bytes this tenant stores and has on their way are as many as it may have; remove files with "
        "delete_raw=true. Files that were removed without it are listed by GET .../files?removed=true.",
        cap=10737418240,
        used=10737000000,
        reserved=400000,
        requested=120000,
    )
