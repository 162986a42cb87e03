"""Creates versions of files, lists them, and restores earlier ones. No transaction is open while it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.idempotency import IdempotentWork, KeyedRequest
from fastapi_ignite.infra.storage import ReceivedFile, Storage, UploadBody, UploadTarget
from fastapi_ignite.ingestion.errors import ContentNotStoredError, FileInProgressError
from fastapi_ignite.ingestion.file_details import read_details
from fastapi_ignite.ingestion.incoming_upload import IncomingUpload
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.resources import TenantResources
from fastapi_ignite.ingestion.stored_content import known_file, known_version
from fastapi_ignite.ingestion.tasks import process_file
from fastapi_ignite.ingestion.upload_reception import UploadReception, wait_while
from fastapi_ignite.ingestion.version_removal import VersionRemover
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.ingestion.version_schemas import FileReplaced, FileVersions
from fastapi_ignite.projects.models import Project
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.usage.errors import QuotaExceededError

CallerLeft = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class _Replacement:
    """A request for a new version. `awaited` is the row of the version that its caller waits for, or None."""

    project_id: UUID
    file_id: UUID
    action: Action
    details: dict[str, int] = field(default_factory=dict)
    awaited: UUID | None = None
    unchanged: bool = False


class FileVersionService:
    """The versions of one tenant's files. It opens its own short transactions."""

    def __init__(self, resources: TenantResources) -> None:
        self._resources = resources
        self._database = resources.database
        self._tenant_id = resources.tenant_id
        self._reception = UploadReception(resources, field_name="file")

    async def replace(
        self,
        project_id: UUID,
        file_id: UUID,
        body: UploadBody,
        keyed: KeyedRequest | None,
        *,
        wait_seconds: int,
        caller_left: CallerLeft,
    ) -> FileReplaced:
        """Store the file of the body as a new version, and wait until it answers or the caller left.

        Of several requests at once the last one that is accepted wins: a pending version gives way to a newer one.

        Raises as `UploadReception.admit` and `receive` do, and:
            FileUnknownError: The id is unknown.
            FileInProgressError: The file itself is not completed yet.
            QuotaExceededError: The version was refused because no character is left.
        """
        async with self._database.tenant(self._tenant_id) as session:
            await self._replaceable(session, project_id, file_id)
        request = _Replacement(project_id, file_id, Action.FILE_VERSION_UPLOADED)
        return await self._receive(request, body, keyed, wait_seconds=wait_seconds, caller_left=caller_left)

    async def restore(
        self,
        project_id: UUID,
        file_id: UUID,
        number: int,
        keyed: KeyedRequest | None,
        *,
        wait_seconds: int,
        caller_left: CallerLeft,
    ) -> FileReplaced:
        """Make a new version of the bytes of an earlier one, and wait as `replace` does. It costs no characters.

        Raises as `replace` does, and:
            VersionUnknownError: The file has never had this version.
            ContentNotStoredError: Its bytes are not kept any more.
        """
        async with self._database.tenant(self._tenant_id) as session:
            file = await self._replaceable(session, project_id, file_id)
            version = known_version(await VersionRepo(session, self._tenant_id).find(file, number), number)
            key = None if version.version_of and version.delete_raw else version.storage_key
            if not key or version.bytes_missing_at:
                raise _not_stored(number)
        body = _StoredBody(self._resources.storage, key, version.filename, version.byte_count)
        request = _Replacement(project_id, file_id, Action.FILE_VERSION_RESTORED, {"restored": number})
        try:
            return await self._receive(
                request, body, keyed, wait_seconds=wait_seconds, caller_left=caller_left, free=True
            )
        except FileNotFoundError:
            raise _not_stored(number) from None

    async def versions(self, project_id: UUID, file_id: UUID, *, limit: int, older_than: int | None) -> FileVersions:
        """Return a page of the versions that are or were current, newest first.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
        """
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
            file = known_file(await FileRepo(session, self._tenant_id).get(project_id, file_id))
            rows = await VersionRepo(session, self._tenant_id).page(file, limit=limit + 1, older_than=older_than)
        return FileVersions.of(file_id, rows, limit)

    async def _replaceable(self, session: AsyncSession, project_id: UUID, file_id: UUID, *, lock: bool = False) -> File:
        await ProjectService(session, self._tenant_id).get(project_id)
        file = known_file(await FileRepo(session, self._tenant_id).get(project_id, file_id, lock=lock))
        if file.state in UNFINISHED:
            raise FileInProgressError(
                "The file is still in progress. Wait until it is completed, or cancel it.",
                headers={"Retry-After": "2"},
                stage=file.state,
            )
        return file

    async def _receive(
        self,
        request: _Replacement,
        body: UploadBody,
        keyed: KeyedRequest | None,
        *,
        wait_seconds: int,
        caller_left: CallerLeft,
        free: bool = False,
    ) -> FileReplaced:
        async def accept(upload: IncomingUpload, received: Sequence[ReceivedFile], work: IdempotentWork) -> bool:
            return await self._accept(request, upload, received[0], work)

        upload = await self._reception.admit(request.project_id, keyed, declared_bytes=body.declared_bytes(), free=free)
        work = await self._reception.receive(upload, body, keyed, accept)
        try:
            result = await self._wait(request, seconds=wait_seconds, caller_left=caller_left)
        except QuotaExceededError:
            await work.replace_result(None)
            raise
        await work.replace_result(result)
        return result

    async def _accept(
        self, request: _Replacement, upload: IncomingUpload, received: ReceivedFile, work: IdempotentWork
    ) -> bool:
        """Commit the row of the version, what was held for it, and the claim with the answer so far, at once.

        Return False where nothing is to be made of the received bytes.
        """
        async with work, self._database.tenant(self._tenant_id) as session:
            await work.begin(session)
            project = await ProjectService(session, self._tenant_id).get(request.project_id, keep=True)
            file = await self._replaceable(session, request.project_id, request.file_id, lock=True)
            pending = await VersionRepo(session, self._tenant_id).lock_pending(file.id)
            sha256 = received.stored.sha256
            is_current = file.state == FileState.COMPLETED and file.sha256 == sha256
            in_progress = pending is not None and pending.state in UNFINISHED and pending.sha256 == sha256
            request.unchanged = is_current or in_progress
            if not request.unchanged:
                await self._require_characters(session, file, upload, sha256)
            remover = VersionRemover(session, self._resources.jobs, self._tenant_id)
            if pending is not None and not in_progress:
                await remover.release(pending)
            if not request.unchanged:
                await upload.settle(session)
            if pending is not None and not in_progress:
                await remover.remove_bytes([pending])
            if not request.unchanged:
                request.awaited = await self._add(session, request, upload, file, received)
            elif in_progress and pending is not None:
                request.awaited = pending.id
            await session.refresh(file)  # the database has set when it was changed
            await work.complete(session, await self._read(session, project, file, request))
        return not request.unchanged

    async def _require_characters(
        self, session: AsyncSession, file: File, upload: IncomingUpload, sha256: bytes
    ) -> None:
        """Raise what the upload was refused with, unless its bytes are free and were stored."""
        if upload.refusal and not (
            upload.stores
            and (
                await FileRepo(session, self._tenant_id).any_equal(file.project_id, [sha256])
                or await VersionRepo(session, self._tenant_id).is_paid(file.id, sha256)
            )
        ):
            raise upload.refusal

    async def _add(
        self, session: AsyncSession, request: _Replacement, upload: IncomingUpload, file: File, received: ReceivedFile
    ) -> UUID:
        version = self._reception.row(upload, new_id(), received)
        file.latest_version += 1
        version.version_of, version.version = file.id, file.latest_version
        await FileRepo(session, self._tenant_id).add_all([version])
        AuditLog(session).record(
            self._tenant_id,
            request.action,
            file.id,
            project_id=str(file.project_id),
            filename=version.filename,
            version=version.version,
            **request.details,
        )
        self._resources.jobs.enqueue(session, process_file, self._tenant_id, version.id)
        return version.id

    async def _wait(self, request: _Replacement, *, seconds: int, caller_left: CallerLeft) -> FileReplaced:
        awaited = request.awaited

        async def unfinished() -> bool:
            if awaited is None:
                return False
            async with self._database.tenant(self._tenant_id) as session:
                version = await FileRepo(session, self._tenant_id).find(awaited)
                return version is not None and version.state in UNFINISHED

        await wait_while(unfinished, seconds=seconds, caller_left=caller_left)
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(request.project_id)
            if awaited is not None:
                _raise_if_over_quota(await FileRepo(session, self._tenant_id).find(awaited))
            file = known_file(await FileRepo(session, self._tenant_id).get(request.project_id, request.file_id))
            return await self._read(session, project, file, request)

    async def _read(self, session: AsyncSession, project: Project, file: File, request: _Replacement) -> FileReplaced:
        engine = self._resources.engine_of(project)
        (details,) = await read_details(session, engine, self._tenant_id, project.id, [file])
        return FileReplaced.of_file(details, unchanged=request.unchanged)


class _StoredBody:
    """The bytes of a stored object, as the body of an upload."""

    def __init__(self, storage: Storage, key: str, filename: str, byte_count: int) -> None:
        self._storage = storage
        self._key = key
        self._filename = filename
        self._byte_count = byte_count
        self.received: list[ReceivedFile] = []
        self.values: Mapping[str, Any] = {}

    def declared_bytes(self) -> int:
        return self._byte_count

    async def read(self, target: UploadTarget) -> Sequence[ReceivedFile]:
        """Copy the object to the target.

        Raises:
            FileNotFoundError: It is gone.
        """
        blocks = await self._storage.read(self._key)
        async with aclosing(blocks):
            writer = await target.begin_file()
            try:
                async for block in blocks:
                    await target.make_room(len(block))
                    await writer.write(block)
                self.received.append(ReceivedFile(self._filename, await writer.finish()))
            except BaseException:
                await writer.abort()
                raise
        return self.received


def _not_stored(number: int) -> ContentNotStoredError:
    return ContentNotStoredError(f"The bytes of version {number} are not kept any more, so it cannot be restored.")


def _raise_if_over_quota(version: File | None) -> None:
    error = version.last_error if version and version.state == FileState.FAILED else None
    if error and error.get("code") == QuotaExceededError.code:
        raise QuotaExceededError(error["message"], **error.get("quota", {}))
