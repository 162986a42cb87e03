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


class InvalidAttributesError(InvalidInputError):
    """The form field `attributes` of an upload is not an object with at most 16 keys and plain values."""

    code = "invalid_attributes"
    title = "Invalid attributes"
    example = Example(
        "attributes.year: Input should be a finite number",
        errors=[{"loc": ["attributes", "year"], "msg": "Input should be a finite number", "type": "finite_number"}],
    )


class FileUnknownError(NotFoundError):
    """The id is unknown, removed, or another tenant's or project's."""

    code = "file_not_found"
    title = "Unknown file"
    example = Example("This project has no file with this id.")


class BatchUnknownError(NotFoundError):
    """The id is unknown, or another tenant's or project's."""

    code = "batch_not_found"
    title = "Unknown batch"
    example = Example("This project has no batch with this id.")


class VersionUnknownError(NotFoundError):
    """The file has never had this version."""

    code = "version_not_found"
    title = "Unknown version"
    example = Example("The file has never had a version 7 that was current.")


class VersionReplacedError(IgniteError):
    """The version was replaced, and its text is not stored any more."""

    status = 410
    code = "version_replaced"
    title = "The version was replaced"
    example = Example("Version 1 of the file was replaced, and its text is gone. The current version is 2.", version=2)


class FileInProgressError(IgniteError):
    """The file itself is still in progress, so that there is nothing yet that a new version could replace."""

    status = 409
    code = "file_in_progress"
    title = "The file is in progress"
    example = Example("The file is still in progress. Wait until it is completed, or cancel it.", stage="extracting")


class FileFinishedError(IgniteError):
    """The file has reached its end, so that it cannot be cancelled, or is completed, so that it cannot be retried."""

    status = 409
    code = "file_finished"
    title = "The file is finished"
    example = Example("The file is completed and cannot be cancelled any more.", stage="completed")


class ContentNotStoredError(IgniteError):
    """The file cannot be processed again, because its uploaded bytes are not stored any more."""

    status = 409
    code = "content_not_stored"
    title = "Content not stored"
    example = Example("The uploaded bytes of this file are not stored any more. Upload the file again.")


class ContentMissingError(IgniteError):
    """The uploaded bytes are not stored any more."""

    status = 410
    code = "content_gone"
    title = "Content not stored any more"
    example = Example("The uploaded bytes of this file are not stored any more.")


class TextNotReadyError(IgniteError):
    """The file has no stored text, or none yet."""

    status = 409
    code = "text_not_ready"
    title = "Text not ready"
    example = Example("The file is still in progress. Read its text when it is completed.", stage="extracting")


class TextRangeError(InvalidInputError):
    """The offsets of the text are in the wrong order, or too far apart."""

    code = "invalid_text_range"
    title = "Invalid text range"
    example = Example("`end` must be at least `start`, and at most 100000 characters behind it.", start=0, end=200_000)


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
