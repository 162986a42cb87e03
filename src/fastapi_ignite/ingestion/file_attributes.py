"""Changes the attributes of files."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy.orm.attributes import flag_modified

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.errors import FileUnknownError
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.schemas import FileChange
from fastapi_ignite.projects.service import ProjectService


class FileAttributesService:
    """The attributes of one tenant's files. It opens its own short transaction."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def change(self, project_id: UUID, file_id: UUID, change: FileChange) -> None:
        """Replace the attributes, whatever the state of the file. What the request leaves out stays as it is.

        Nothing else has to follow: every search asks the database which files meet its filter.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
        """
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
            file = await FileRepo(session, self._tenant_id).get(project_id, file_id, lock=True)
            if file is None:
                raise FileUnknownError("This project has no file with this id.")
            attributes = change.attributes or {}
            if "attributes" not in change.model_fields_set or _as_json(attributes) == _as_json(file.attributes):
                return
            file.attributes = attributes
            flag_modified(file, "attributes")  # SQLAlchemy takes true and 1 for the same value
            AuditLog(session).record(
                self._tenant_id,
                Action.FILE_UPDATED,
                file_id,
                project_id=str(project_id),
                filename=file.filename,
                changed=["attributes"],
            )


def _as_json(attributes: dict[str, Any]) -> str:
    """Return a text that tells true from 1, which are equal in Python."""
    return json.dumps(attributes, sort_keys=True)
