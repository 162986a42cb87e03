"""Receives the body of a request with files: it checks the limits, stores the bytes, and has the rows written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from fastapi_ignite.core import clock
from fastapi_ignite.core.audit_context import current_audit_context
from fastapi_ignite.infra.db import CommitOutcomeUnknownError
from fastapi_ignite.infra.idempotency import IdempotencyStore, IdempotentWork, KeyedRequest
from fastapi_ignite.infra.jobs.tracing import trace
from fastapi_ignite.infra.storage import ReceivedFile, UploadBody
from fastapi_ignite.ingestion.attributes import FIELD
from fastapi_ignite.ingestion.errors import (
    EmptyFileError,
    NoFilesError,
    StorageFullError,
    TooManyBytesInFlightError,
    TooManyFilesInProgressError,
)
from fastapi_ignite.ingestion.incoming_upload import IncomingUpload
from fastapi_ignite.ingestion.models import File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.resources import TenantResources
from fastapi_ignite.ingestion.schemas import failure
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService

FIRST_LOOK_SECONDS = 0.05
LAST_LOOK_SECONDS = 0.5
NO_ATTRIBUTES: Final[Mapping[str, Any]] = MappingProxyType({})
# Commits the rows of the received files, and tells whether they name the stored bytes.
Accept = Callable[[IncomingUpload, Sequence[ReceivedFile], IdempotentWork], Awaitable[bool]]


class UploadReception:
    """Receives the uploads of one tenant into `field_name`. No transaction is open while a body is read."""

    def __init__(self, resources: TenantResources, *, field_name: str) -> None:
        self._resources = resources
        self._database = resources.database
        self._tenant_id = resources.tenant_id
        self._field_name = field_name

    async def admit(
        self, project_id: UUID, keyed: KeyedRequest | None, *, declared_bytes: int | None, free: bool = False
    ) -> IncomingUpload:
        """Refuse an upload before its body is read, or reserve what it needs of the tenant's storage.

        With no character left, the body is read if the project has files that may be equal to the new ones, which then
        cost nothing, or with `free`. With no room, the body is read and not stored if the key was used before: the
        request may be the repetition of the upload that took the last room.

        Raises:
            ProjectNotFoundError: The id is unknown.
            SubscriptionRequiredError: The tenant has no plan.
            QuotaExceededError: No character is left.
            StorageFullError: No byte is left.
            TooManyFilesInProgressError, TooManyBytesInFlightError: The tenant uploads too much at a time.
        """
        upload = IncomingUpload(
            self._database,
            self._resources.storage,
            tenant_id=self._tenant_id,
            project_id=project_id,
            bounds=self._resources.settings.upload,
        )
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            upload.has_index = project.vector_store_id is not None
            try:
                await UsageService(session, self._tenant_id).require_room(Metric.CHARACTERS)
            except QuotaExceededError as refusal:
                files = FileRepo(session, self._tenant_id)
                if not free and not await files.any_as_small(project_id, byte_count=declared_bytes):
                    raise
                upload.refusal = refusal
            try:
                await upload.reservation.begin(session, declared_bytes=declared_bytes)
            except (StorageFullError, TooManyFilesInProgressError, TooManyBytesInFlightError) as refusal:
                if not keyed or not await IdempotencyStore(session).is_taken(keyed):
                    raise
                upload.refusal, upload.stores = refusal, False
        return upload

    async def receive(
        self, upload: IncomingUpload, body: UploadBody, keyed: KeyedRequest | None, accept: Accept
    ) -> IdempotentWork:
        """Read the body into storage, and have all of its files accepted or none. Return the work under the key.

        Raises:
            IdempotencyConflictError: The same files were sent before; these are dropped.
            StorageFullError, TooManyFilesInProgressError, TooManyBytesInFlightError: The body passed a cap; reading
                stopped there.
            CommitOutcomeUnknownError: Nobody knows whether the files were accepted; their bytes are kept.
        """
        try:
            async with upload.kept_alive():
                received = await body.read(upload)
                if not received:
                    raise NoFilesError(f"Send at least one file in the form field '{self._field_name}'.")
                if all(file.stored.byte_count == 0 for file in received):
                    raise EmptyFileError("The file has no bytes.", filenames=[file.filename for file in received][:20])
                work = IdempotentWork(
                    self._database, keyed.claim(_digest(received, body.values.get(FIELD, {}))) if keyed else None
                )
                kept = await accept(upload, received, work)
        except CommitOutcomeUnknownError:
            raise  # nothing is undone: rows may name the bytes by now
        except BaseException:
            await upload.undo(body.received)
            raise
        if not kept:
            await upload.undo(body.received)
        return work

    def row(
        self, upload: IncomingUpload, file_id: UUID, file: ReceivedFile, attributes: Mapping[str, Any] = NO_ATTRIBUTES
    ) -> File:
        """Return the row of a received file, which is queued, or has failed because it has no bytes."""
        empty = file.stored.byte_count == 0
        return File(
            tenant_id=self._tenant_id,
            id=file_id,
            project_id=upload.project_id,
            batch_id=upload.id,
            filename=file.filename,
            byte_count=file.stored.byte_count,
            sha256=file.stored.sha256,
            storage_key=file.stored.key,
            attributes=dict(attributes),
            state=FileState.FAILED if empty else FileState.QUEUED,
            last_error=failure(
                code=EmptyFileError.code, message="The file has no bytes.", stage="queued", retryable=False
            )
            if empty
            else None,
            uploaded_by=current_actor(),
            notified_at=clock.now(),
            **trace(),
        )


def current_actor() -> dict[str, str | None]:
    """Return who acts in this task, as the audit log names them."""
    actor = current_audit_context().actor
    return {"kind": actor.kind, "id": actor.id}


async def wait_while(
    unfinished: Callable[[], Awaitable[bool]], *, seconds: int, caller_left: Callable[[], Awaitable[bool]]
) -> None:
    """Return when the work is not unfinished any more, when `seconds` are over, or when the caller left."""
    deadline = asyncio.get_running_loop().time() + seconds
    pause = FIRST_LOOK_SECONDS
    while True:
        in_progress = await unfinished()
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0 or not in_progress or await caller_left():
            return
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LAST_LOOK_SECONDS)


def _digest(received: Sequence[ReceivedFile], attributes: Mapping[str, Any]) -> bytes:
    """Return what makes two uploads the same. The boundaries between the parts differ each time.

    Without attributes it is that of the version before, whose keys may come again.
    """
    files = [(file.filename, file.stored.byte_count, file.stored.sha256.hex()) for file in received]
    return json.dumps({"files": files, "attributes": attributes} if attributes else files, sort_keys=True).encode()
