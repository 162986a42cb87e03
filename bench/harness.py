"""A database of its own for a measurement, and a project in it."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.services import ServiceAddresses, Services
from fastapi_ignite.rag.local.engine import LocalEngine
from support.databases import insert_project

from embedded_services import acquire

VOCABULARY = 20_000
SENTENCE_WORDS = 14


@contextlib.contextmanager
def bench_servers(*, durable: bool = True, postgres_settings: str = "") -> Iterator[tuple[ServiceAddresses, Path]]:
    """Migrated embedded servers in a folder that goes with them. `postgres_settings` are lines of `postgresql.conf`."""
    # on a busy machine the servers may still write while they stop: no reason to end with an error
    with tempfile.TemporaryDirectory(prefix="ignite-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "data").mkdir(mode=0o711)
        (folder / "data" / "postgresql.conf").write_text(postgres_settings)
        with acquire(folder / "data", durable=durable) as lease:
            addresses = Services(load_settings(env_file=None), lease).addresses
            migrations.upgrade(addresses)
            yield addresses, folder


async def make_project(database: Database, engine: LocalEngine) -> tuple[UUID, UUID]:
    """A tenant and an indexed project of its own: `(tenant_id, project_id)`."""
    tenant_id, project_id = await insert_project(database)
    await engine.create_index(tenant_id, project_id)
    return tenant_id, project_id


def make_text(random_source: random.Random, size: int) -> str:
    """Words with a Zipf-like spread, so that the lexical index sees rare and frequent terms."""
    words = [f"w{number:x}" for number in range(VOCABULARY)]
    weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
    sentences: list[str] = []
    length = 0
    while length < size:
        sentence = " ".join(random_source.choices(words, weights, k=SENTENCE_WORDS)).capitalize() + ". "
        sentences.append(sentence + ("\n\n" if len(sentences) % 6 == 5 else ""))
        length += len(sentences[-1])
    return "".join(sentences)
