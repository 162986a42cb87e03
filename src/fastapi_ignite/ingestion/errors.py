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


class BatchUnknownError(NotFoundError):
    """The id is unknown, or another tenant's or project's."""

    code = "batch_not_found"
    title = "Unknown batch"


class FileFinishedError(IgniteError):
    """The file has reached its end, so that it cannot be cancelled, or is completed, so that it cannot be retried."""

    status = 409
    code = "file_finished"
    title = "The file is finished"


class ContentNotStoredError(IgniteError):
    """The file cannot be processed again, because its uploaded bytes are not stored any more."""

    status = 409
    code = "content_not_stored"
    title = "Content not stored"


class ContentMissingError(IgniteError):
    """The uploaded bytes are not stored any more."""

    status = 410
    code = "content_gone"
    title = "Content not stored any more"


class TextNotReadyError(IgniteError):
    """The file has no stored text, or none yet."""

    status = 409
    code = "text_not_ready"
    title = "Text not ready"


class TextRangeError(InvalidInputError):
    """The offsets of the text are in the wrong order, or too far apart."""

    code = "invalid_text_range"
    title = "Invalid text range"


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
