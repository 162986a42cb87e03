"""The service behind the endpoints: its objects, its settings, and the indexing of files in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog

from openai_simulator.behaviour import Behaviour
from openai_simulator.errors import invalid, not_found
from openai_simulator.faults import FaultTable
from openai_simulator.file_text import UnreadableFileError, read_text
from openai_simulator.journal import Journal
from openai_simulator.matching import count_tokens
from openai_simulator.objects import Failure, StoredFile, StoreFile, VectorStore, timestamp
from openai_simulator.rate_limits import RateWindows
from openai_simulator.retrieval import SearchableFile
from openai_simulator.state import SimulatorState

log = structlog.get_logger(__name__)


class Simulator:
    """One simulated service. Its methods run on the event loop of its server."""

    def __init__(self, state: SimulatorState) -> None:
        self.state = state
        self.behaviour = Behaviour()
        self.faults = FaultTable()
        self.journal = Journal()
        self.windows = RateWindows()
        self.interrupted = asyncio.Event()  # set by a stop or a reset; calls that hang wait for it
        self._texts: dict[str, str] = {}
        self._prompts: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Index the files that an earlier run with this state left in progress."""
        for attached in self.state.store_files:
            if attached.status == "in_progress" and not attached.is_stuck:
                self.process(attached)

    async def stop(self) -> None:
        """End the calls that hang, cancel the indexing that runs, and close the state."""
        self.interrupted.set()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.state.close()

    def reset(self) -> None:
        """Remove all objects and faults, and set the counters and settings to their defaults."""
        for task in self._tasks:
            task.cancel()
        self.interrupted.set()
        self.interrupted = asyncio.Event()
        self.state.clear()
        self.behaviour = Behaviour()
        self.faults.clear()
        self.journal.clear()
        self.windows.clear()
        self._texts.clear()
        self._prompts.clear()

    def release(self) -> int:
        """Index the files that are stuck, and return how many there were."""
        stuck = [attached for attached in self.state.store_files if attached.is_stuck]
        for attached in stuck:
            attached.is_stuck = False
            self.state.store_files.save(attached.key, attached)
            self.process(attached)
        return len(stuck)

    async def pause(self, seconds: float) -> None:
        """Wait. A stop or a reset ends the wait early."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.interrupted.wait(), seconds)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work in the background until it ends or `stop` or `reset` cancels it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def process(self, attached: StoreFile) -> None:
        """Start indexing the file, with the delay that is set now."""
        self.spawn(self._process(attached, self.behaviour.processing_seconds))

    def file(self, file_id: str, param: str = "id") -> StoredFile:
        found = self.state.files.get(file_id)
        if found is None or found.is_expired:
            raise not_found("file", file_id, param)
        return found

    def store(self, store_id: str) -> VectorStore:
        if (found := self.state.vector_stores.get(store_id)) is None:
            raise not_found("vector store", store_id, "vector_store_id")
        return found

    def usable_store(self, store_id: str) -> VectorStore:
        """Return the store and note its use. An expired store can be read only, so here it raises an error."""
        found = self.store(store_id)
        if found.is_expired:
            raise invalid(f"Vector store '{store_id}' is expired.", "vector_store_id", "vector_store_expired")
        found.last_active_at = timestamp()
        self.state.vector_stores.save(found.id, found)
        return found

    def attached(self, store_id: str, file_id: str) -> StoreFile:
        found = self.state.store_files.get(f"{self.store(store_id).id}/{file_id}")
        if found is None:
            raise not_found("file", file_id, "file_id")
        return found

    def model(self, name: str) -> str:
        if name not in self.behaviour.models:
            message = f"The model `{name}` does not exist or you do not have access to it."
            error = invalid(message, "model", "model_not_found")
            error.status = 404
            raise error
        return name

    async def indexed(self, store_ids: list[str]) -> list[SearchableFile]:
        """Return the files of the stores whose indexing is completed."""
        files = [attached for store_id in store_ids for attached in self.state.files_of(store_id)]
        ready = [attached for attached in files if attached.status == "completed"]
        return [
            SearchableFile(file, attached, await self.text(file))
            for attached in ready
            if (file := self.state.files.get(attached.file_id)) is not None
        ]

    async def text(self, file: StoredFile) -> str:
        """Return the text of a file, which is read the first time only."""
        if file.id not in self._texts:
            self._texts[file.id] = await read_text(self.state.content(file.id), file.filename)
        return self._texts[file.id]

    def cached_tokens(self, prompt: str, tokens: int) -> int:
        """Return how many tokens are cached: a repeated prompt of at least 1,024 tokens is, in blocks of 128."""
        seen = hash(prompt) in self._prompts
        self._prompts.add(hash(prompt))
        return tokens // 128 * 128 if seen and tokens >= 1024 else 0  # noqa: PLR2004  # as published

    async def _process(self, attached: StoreFile, delay: float) -> None:
        await asyncio.sleep(delay)
        file = self.state.files.get(attached.file_id)
        if file is None:
            return
        try:
            text = await self.text(file)
            if count_tokens(text) > self.behaviour.max_file_tokens:
                raise UnreadableFileError("invalid_file", "The file is too large.")
        except UnreadableFileError as error:
            self.fail_file(attached, error.failure)
            return
        if attached.status == "in_progress":
            attached.status = "completed"
            attached.usage_bytes = len(text.encode())
            self.state.store_files.save(attached.key, attached)

    def fail_file(self, attached: StoreFile, failure: Failure) -> None:
        if attached.status == "in_progress":
            attached.status = "failed"
            attached.last_error = failure
            self.state.store_files.save(attached.key, attached)
