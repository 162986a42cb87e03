"""What ingestion refuses."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError, InvalidInputError, NotFoundError, UnavailableError
from fastapi_ignite.usage.service import QuotaExceededError


class NoFilesError(InvalidInputError):
    """An upload without a file."""

    code = "no_files"
    title = "No files"


class EmptyFileError(InvalidInputError):
    """Every file of the upload has zero bytes."""

    code = "empty_file"
    title = "Empty file"


class FileUnknownError(NotFoundError):
    """Unknown, removed, or another tenant's or project's."""

    code = "file_not_found"
    title = "Unknown file"


class TooManyFilesInProgressError(IgniteError):
    """The tenant's unfinished files are as many as one tenant may have."""

    status = 429
    code = "too_many_files_in_progress"
    title = "Too many files in progress"


class TooManyBytesInFlightError(IgniteError):
    """The tenant's uploads have as many bytes on their way as one tenant may have."""

    status = 429
    code = "too_many_bytes_in_flight"
    title = "Too many uploads at a time"


class UploadExpiredError(UnavailableError):
    """An upload gave no sign of life for so long that what it held was given to others."""

    code = "upload_expired"
    title = "The upload was given up"


class StorageFullError(QuotaExceededError):
    """The tenant's stored bytes are as many as one tenant may have."""

    code = "storage_quota_exceeded"
    title = "Storage quota exceeded"
