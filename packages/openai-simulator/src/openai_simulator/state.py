"""Keeps all objects in memory and in a SQLite database, which is a file if a path is given."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from openai_simulator.objects import FileBatch, StoredFile, StoredResponse, StoreFile, VectorStore

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    position INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, key));
CREATE TABLE IF NOT EXISTS contents (file_id TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS created (kind TEXT NOT NULL, key TEXT NOT NULL);
"""
UPSERT = """
INSERT INTO objects (kind, key, body) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body
"""

T = TypeVar("T", bound=BaseModel)


class Collection(Generic[T]):
    """The objects of one kind, in the order of their creation. `created` counts the removed ones too."""

    def __init__(self, database: sqlite3.Connection, kind: str, model: type[T]) -> None:
        self._database = database
        self._kind = kind
        rows = database.execute("SELECT key, body FROM objects WHERE kind = ? ORDER BY position", (kind,))
        self._objects = {key: model.model_validate_json(body) for key, body in rows}
        (self.created,) = database.execute("SELECT count(*) FROM created WHERE kind = ?", (kind,)).fetchone()

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def add(self, key: str, made: T) -> T:
        """Add a new object and count it as created."""
        self.created += 1
        with self._database:
            self._database.execute("INSERT INTO created VALUES (?, ?)", (self._kind, key))
            self._write(key, made)
        self._objects[key] = made
        return made

    def save(self, key: str, changed: T) -> None:
        """Write a changed object. Do nothing if it was removed or replaced meanwhile."""
        if self._objects.get(key) is not changed:
            return
        with self._database:
            self._write(key, changed)

    def remove(self, key: str) -> T | None:
        with self._database:
            self._database.execute("DELETE FROM objects WHERE kind = ? AND key = ?", (self._kind, key))
        return self._objects.pop(key, None)

    def _write(self, key: str, value: T) -> None:
        self._database.execute(UPSERT, (self._kind, key, value.model_dump_json()))


class SimulatorState:
    """All objects of the simulator. A crash loses none: they are in the file before the answer to a call is sent."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._database = sqlite3.connect(path or ":memory:")
        self._database.executescript(SCHEMA)
        # the file must survive a crash of the simulator, but not a crash of the machine
        self._database.execute("PRAGMA synchronous = OFF")
        self._load()

    def _load(self) -> None:
        self.files = Collection(self._database, "files", StoredFile)
        self.vector_stores = Collection(self._database, "vector_stores", VectorStore)
        self.store_files = Collection(self._database, "vector_store_files", StoreFile)
        self.file_batches = Collection(self._database, "file_batches", FileBatch)
        self.responses = Collection(self._database, "responses", StoredResponse)

    def put_content(self, file_id: str, data: bytes) -> None:
        with self._database:
            self._database.execute("INSERT INTO contents VALUES (?, ?)", (file_id, data))

    def content(self, file_id: str) -> bytes:
        """Return the bytes of a file, or none if it was removed."""
        row = self._database.execute("SELECT data FROM contents WHERE file_id = ?", (file_id,)).fetchone()
        data: bytes = row[0] if row else b""
        return data

    def files_of(self, store_id: str) -> list[StoreFile]:
        return [file for file in self.store_files if file.vector_store_id == store_id]

    def files_in(self, batch_id: str) -> list[StoreFile]:
        return [file for file in self.store_files if file.batch_id == batch_id]

    def remove_file(self, file_id: str) -> bool:
        """Remove a file and detach it from all stores. Return whether it existed."""
        for attached in self.store_files:
            if attached.file_id == file_id:
                self.store_files.remove(attached.key)
        with self._database:
            self._database.execute("DELETE FROM contents WHERE file_id = ?", (file_id,))
        return self.files.remove(file_id) is not None

    def remove_store(self, store_id: str) -> bool:
        """Remove a store and its batches, but not the files. Return whether it existed."""
        for attached in self.files_of(store_id):
            self.store_files.remove(attached.key)
        for batch in self.file_batches:
            if batch.vector_store_id == store_id:
                self.file_batches.remove(batch.id)
        return self.vector_stores.remove(store_id) is not None

    def created(self) -> Counter[str]:
        """Return how many objects of each kind were ever created, over all restarts with the same state file."""
        return Counter({name: collection.created for name, collection in self._collections().items()})

    def existing(self) -> Counter[str]:
        return Counter({name: len(collection) for name, collection in self._collections().items()})

    def clear(self) -> None:
        with self._database:
            for table in ("objects", "contents", "created"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608  # three names of our own
        self._load()

    def close(self) -> None:
        self._database.close()

    def _collections(
        self,
    ) -> dict[
        str,
        Collection[StoredFile]
        | Collection[VectorStore]
        | Collection[StoreFile]
        | Collection[FileBatch]
        | Collection[StoredResponse],
    ]:
        return {
            "files": self.files,
            "vector_stores": self.vector_stores,
            "vector_store_files": self.store_files,
            "file_batches": self.file_batches,
            "responses": self.responses,
        }
