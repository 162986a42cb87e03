"""Searches or asks a project while a file of it gets one version after another, and counts what each one finds."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from support.http_clients import TenantClient
from support.tenant_records import eventually

QUERY = "How often is the pump of the greenhouse maintained?"
# Questions that have hardly a word in common with the text find it by its meaning only.
BY_MEANING = "watering machinery servicing instructions"
EDITION = re.compile(r"edition (\d+)")
FILENAME = "manual.txt"
PARAGRAPHS = 6
OTHER_FILES = 5
Find = Callable[[TenantClient, str, str], Awaitable[list[str] | None]]


@dataclass(slots=True)
class Sightings:
    """What searches found of a file that had exactly one version at each moment.

    `stale` counts searches that began when a newer version had been answered to its uploader. A search is `failed` if
    its status was not 200.
    """

    searches: int = 0
    swaps: int = 0
    neither: int = 0
    both: int = 0
    stale: int = 0
    failed: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def count(self, editions: set[int], *, answered: int) -> None:
        """Count one search that began when the version `answered` had its answer."""
        self.neither += not editions
        self.both += len(editions) > 1
        self.stale += bool(editions) and max(editions) < answered

    @property
    def faults(self) -> tuple[int, int, int, int]:
        """Return how many searches found neither version, both, or one of the past, and how many failed."""
        return self.neither, self.both, self.stale, self.failed


def content(edition: int) -> bytes:
    """Return a text of several passages, each of which names its edition."""
    paragraphs = [
        f"Chapter {number}. By edition {edition} the pump of the greenhouse is maintained every {number} weeks. "
        f"The gardener checks the valve, the filter and the hoses, and writes it down in the book. " * 4
        for number in range(1, PARAGRAPHS + 1)
    ]
    return "\n\n".join(paragraphs).encode()


async def found_by_search(tenant: TenantClient, project: str, query: str) -> list[str] | None:
    """Return the passages of the file that a search finds, or None if it failed."""
    answer = await tenant.search(project, query, limit=3)
    if answer.status_code != 200:
        return None
    return [found["text"] for found in answer.json()["results"] if found["filename"] == FILENAME]


async def found_by_question(tenant: TenantClient, project: str, question: str) -> list[str] | None:
    """Return the quotes of the file in an answer, or None if it failed."""
    answer = await tenant.ask(project, question)
    if answer.status_code != 200:
        return None
    return [cited["quote"] for cited in answer.json()["citations"] if cited["filename"] == FILENAME]


async def search_beside_swaps(
    tenant: TenantClient, *, swaps: int, searchers: int, queries: tuple[str, ...], find: Find = found_by_search
) -> Sightings:
    """Make a project with a file, and give it new versions one after another beside loops of searches."""
    project = await tenant.create_project()
    others = [
        (f"other-{number}.txt", f"The orchard number {number} keeps apple trees.".encode())
        for number in range(OTHER_FILES)
    ]
    upload = (await tenant.upload(project, (FILENAME, content(1)), *others, wait_seconds=60)).json()
    if upload["batch_status"] != "completed":
        raise RuntimeError(f"the files were not completed: {upload}")
    path = f"/ingestion/projects/{project}/files/{upload['files'][0]['id']}"

    async def is_embedded() -> bool:
        return bool((await tenant.get(f"/ingestion/projects/{project}/files")).json()["embedded"] == 1)

    await eventually(is_embedded)
    seen = Sightings()
    answered = 1
    stop = asyncio.Event()

    async def search(number: int) -> None:
        while not stop.is_set():
            before, began = answered, time.perf_counter()
            texts = await find(tenant, project, queries[(number + seen.searches) % len(queries)])
            seen.searches += 1
            seen.milliseconds.append(1000 * (time.perf_counter() - began))
            if texts is None:
                seen.failed += 1
                continue
            seen.count({int(edition) for text in texts for edition in EDITION.findall(text)}, answered=before)

    searching = [asyncio.create_task(search(number)) for number in range(searchers)]
    try:
        for edition in range(2, swaps + 2):
            answer = await tenant.put(
                f"{path}/content", files={"file": (FILENAME, content(edition))}, params={"wait_seconds": 60}
            )
            if answer.status_code != 200 or answer.json()["version"] != edition:
                raise RuntimeError(f"version {edition} did not take its place: {answer.text}")
            answered = edition
            seen.swaps += 1
    finally:
        stop.set()
        await asyncio.gather(*searching)
    return seen
