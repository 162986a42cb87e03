"""The events of files, batches and projects: what changed, until a file or batch is finished or the client leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from uuid import UUID

from pydantic import BaseModel

from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.change_feed import ChangedFile, ChangeFeed
from fastapi_ignite.ingestion.errors import BatchUnknownError, FileUnknownError
from fastapi_ignite.ingestion.event_schemas import BatchEvent, DoneEvent, FileEvent
from fastapi_ignite.ingestion.models import GONE, UNFINISHED
from fastapi_ignite.ingestion.schemas import FileCounts
from fastapi_ignite.projects.service import ProjectService

LOOK_SECONDS = 0.5
Event = tuple[str, BaseModel, str]
# Waits for the time until the next look. It returns False when the stream has to end, and may raise why it does.
GoOn = Callable[[float], Awaitable[bool]]
Events = Callable[[GoOn], AsyncGenerator[Event]]


class FileEventService:
    """Opens streams of events. An unknown id is refused before a stream begins.

    A client that has lost its connection goes on where it was. It may see a change again, but it misses none.
    """

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def of_file(self, project_id: UUID, file_id: UUID) -> Events:
        """Return the events of one file: its state now and each change, until it is finished.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
        """
        feed = await self._feed(project_id)
        file = await feed.file(file_id)
        if file is None or file.state in GONE:
            raise FileUnknownError("This project has no file with this id.")
        return lambda go_on: _until_finished(feed, file, go_on)

    async def of_batch(self, project_id: UUID, batch_id: UUID, last_event_id: str | None) -> Events:
        """Return the events of one batch: all files or those that changed since the last event, and the counts.

        Raises:
            ProjectNotFoundError, BatchUnknownError: The id is unknown.
        """
        feed = await self._feed(project_id, batch_id)
        if not await feed.states():
            raise BatchUnknownError("This project has no batch with this id.")
        position = await feed.resume(last_event_id)
        return lambda go_on: _until_all_finished(feed, batch_id, position, go_on)

    async def of_project(self, project_id: UUID, last_event_id: str | None) -> Events:
        """Return the events of a project: files in progress or those that changed since the last event. It never ends.

        Raises:
            ProjectNotFoundError: The id is unknown.
        """
        feed = await self._feed(project_id)
        position = await feed.resume(last_event_id)
        return lambda go_on: _of_all(feed, position, go_on)

    async def _feed(self, project_id: UUID, batch_id: UUID | None = None) -> ChangeFeed:
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
        return ChangeFeed(self._database, self._tenant_id, project_id, batch_id)


async def _until_finished(feed: ChangeFeed, file: ChangedFile | None, go_on: GoOn) -> AsyncGenerator[Event]:
    told: ChangedFile | None = None
    while file is not None:
        if file != told:
            yield _file_event(file)
            told = file
        if file.state not in UNFINISHED and not (file.pending and file.pending.state in UNFINISHED):
            yield "done", DoneEvent(status=FileEvent.of(file).status), file.position
            return
        if not await go_on(LOOK_SECONDS):
            return
        file = await feed.file(file.id)


async def _until_all_finished(feed: ChangeFeed, batch_id: UUID, position: str, go_on: GoOn) -> AsyncGenerator[Event]:
    told: FileCounts | None = None
    while True:
        # Counted first: what ended by now, the following look sees. So `done` comes after the last file.
        counts = FileCounts.of(await feed.states())
        async with aclosing(feed.since(position)) as changed:
            async for file in changed:
                yield _file_event(file)
                position = file.position
        if counts != told:
            yield "batch", BatchEvent(batch_id=batch_id, batch_status=counts.status, file_counts=counts), position
            told = counts
        if not counts.in_progress:
            yield "done", DoneEvent(status=counts.status), position
            return
        if not await go_on(LOOK_SECONDS):
            return


async def _of_all(feed: ChangeFeed, position: str, go_on: GoOn) -> AsyncGenerator[Event]:
    while True:
        async with aclosing(feed.since(position)) as changed:
            async for file in changed:
                yield _file_event(file)
                position = file.position
        if not await go_on(LOOK_SECONDS):
            return


def _file_event(file: ChangedFile) -> Event:
    return "file", FileEvent.of(file), file.position
