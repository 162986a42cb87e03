"""Reads single files and batches: their state, their bytes as uploaded, and their stored text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from fastapi_ignite.ingestion.errors import (
    BatchUnknownError,
    ContentMissingError,
    FileUnknownError,
    TextNotReadyError,
    TextRangeError,
    VersionReplacedError,
    VersionUnknownError,
)
from fastapi_ignite.ingestion.file_details import read_details
from fastapi_ignite.ingestion.models import UNFINISHED, File
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.resources import TenantResources
from fastapi_ignite.ingestion.schemas import BatchRead, FileCounts, FileRead, FileText
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.documents.repository import DocumentRepository

LONGEST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file as they were uploaded. `read` opens a range of them.

    `media_type` was recognised by the content, and is None until the file is completed.
    """

    filename: str
    byte_count: int
    sha256: str
    media_type: str | None
    read: Callable[[int, int], Awaitable[AsyncGenerator[bytes]]]


class StoredFileService:
    """Reads the files of one tenant. It opens its own short transactions."""

    def __init__(self, resources: TenantResources) -> None:
        self._resources = resources
        self._database = resources.database
        self._tenant_id = resources.tenant_id

    async def read(self, project_id: UUID, file_id: UUID) -> FileRead:
        """Return the file.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
        """
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            file = known_file(await FileRepo(session, self._tenant_id).get(project_id, file_id))
            (details,) = await read_details(
                session, self._resources.engine_of(project), self._tenant_id, project_id, [file]
            )
        return details

    async def read_batch(self, project_id: UUID, batch_id: UUID, *, limit: int, after: UUID | None) -> BatchRead:
        """Return the counts of all files of the upload, and a page of its files that are not removed.

        Raises:
            ProjectNotFoundError, BatchUnknownError: The id is unknown.
        """
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            files = FileRepo(session, self._tenant_id)
            states = await files.batch_states(project_id, batch_id)
            if not states:
                raise BatchUnknownError("This project has no batch with this id.")
            found = await files.batch_page(project_id, batch_id, limit=limit + 1, after=after)
            page = found[:limit]
            details = await read_details(session, self._resources.engine_of(project), self._tenant_id, project_id, page)
        counts = FileCounts.of(states)
        more = len(found) > limit
        return BatchRead(
            project_id=project_id,
            vector_store_id=project.vector_store_id or "",
            batch_id=batch_id,
            batch_status=counts.status,
            file_counts=counts,
            files=details,
            has_more=more,
            next_after=page[-1].id if more else None,
        )

    async def content(self, project_id: UUID, file_id: UUID, *, version: int | None) -> FileContent:
        """Return the uploaded bytes of a version, by default of the current one, which are read as a stream.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
            VersionUnknownError: The file has never had this version.
            ContentMissingError: The bytes are not stored any more. `read` raises it too.
        """
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
            file = known_file(await FileRepo(session, self._tenant_id).get(project_id, file_id))
            if version is not None:
                file = known_version(await VersionRepo(session, self._tenant_id).find(file, version), version)
            formats = await DocumentRepository(session, self._tenant_id).formats(
                [file.document_id] if file.document_id else []
            )
        key = file.storage_key
        if key is None or file.bytes_missing_at is not None or (file.version_of and file.delete_raw):
            raise _missing()

        async def read(start: int, length: int) -> AsyncGenerator[bytes]:
            try:
                return await self._resources.storage.read(key, start=start, length=length)
            except FileNotFoundError:
                raise _missing() from None

        known = formats.get(file.document_id) if file.document_id else None
        return FileContent(
            filename=file.filename,
            byte_count=file.byte_count,
            sha256=file.sha256.hex(),
            media_type=known.media_type if known else None,
            read=read,
        )

    async def text(
        self, project_id: UUID, file_id: UUID, *, start: int, end: int | None, version: int | None
    ) -> FileText:
        """Return the stored text between two offsets. An end behind the end of the text is that end.

        Only the current version has a text. Who names another one has offsets of that, which mean nothing here.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
            VersionUnknownError: The file has never had this version.
            VersionReplacedError: The version is not the current one any more.
            TextRangeError: The end is before the start, or more than 100,000 characters behind it.
            TextNotReadyError: The file has no text, or none yet.
        """
        end = start + LONGEST_TEXT if end is None else end
        if not start <= end <= start + LONGEST_TEXT:
            raise TextRangeError(
                f"`end` must be at least `start`, and at most {LONGEST_TEXT} characters behind it.",
                start=start,
                end=end,
            )
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
            file = known_file(await FileRepo(session, self._tenant_id).get(project_id, file_id))
            if version is not None and version != file.version:
                known_version(await VersionRepo(session, self._tenant_id).find(file, version), version)
                raise VersionReplacedError(
                    f"Version {version} of the file was replaced, and its text is gone. The current version is "
                    f"{file.version}.",
                    version=file.version,
                )
            documents = DocumentRepository(session, self._tenant_id)
            found = await documents.excerpt(file.document_id, start=start, end=end) if file.document_id else None
        if found is None:
            raise _no_text(file)
        return FileText(
            file_id=file_id,
            version=file.version,
            start=start,
            end=found.end,
            total=found.total,
            start_page=found.page_of(start) if found.text else None,
            end_page=found.page_of(found.end - 1) if found.text else None,
            text=found.text,
        )


def known_file(file: File | None) -> File:
    """Return the file.

    Raises:
        FileUnknownError: There is none.
    """
    if file is None:
        raise FileUnknownError("This project has no file with this id.")
    return file


def known_version(version: File | None, number: int) -> File:
    """Return the version.

    Raises:
        VersionUnknownError: There is none.
    """
    if version is None:
        raise VersionUnknownError(f"The file has never had a version {number} that was current.")
    return version


def _missing() -> ContentMissingError:
    return ContentMissingError("The uploaded bytes of this file are not stored any more.")


def _no_text(file: File) -> TextNotReadyError:
    if file.state in UNFINISHED:
        return TextNotReadyError(
            "The file is still in progress. Read its text when it is completed.",
            headers={"Retry-After": "2"},
            stage=file.state,
        )
    return TextNotReadyError("The file was not completed, so it has no text.", stage=file.state)
