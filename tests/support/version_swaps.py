"""Searches a project while a file of it gets one version after another, and counts what each search finds."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

from support.http_clients import TenantClient
from support.tenant_records import eventually

QUERY = "How is the pump of the greenhouse maintained?"
# Questions that have hardly a word in common with the text find it by its meaning only.
BY_MEANING = "watering machinery servicing instructions"
EDITION = re.compile(r"edition (\d+)")
PARAGRAPHS = 6
OTHER_FILES = 5


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
        f"Chapter {number} of edition {edition}. The pump of the greenhouse is maintained every {number} weeks. "
        f"The gardener checks the valve, the filter and the hoses, and writes it down in the book. " * 4
        for number in range(1, PARAGRAPHS + 1)
    ]
    return "\n\n".join(paragraphs).encode()


async def search_beside_swaps(
    tenant: TenantClient, *, swaps: int, searchers: int, queries: tuple[str, ...]
) -> Sightings:
    """Make a project with a file, and give it new versions one after another beside loops of searches."""
    project = await tenant.create_project()
    others = [
        (f"other-{number}.txt", f"The orchard number {number} keeps apple trees.".encode())
        for number in range(OTHER_FILES)
    ]
    upload = (await tenant.upload(project, ("manual.txt", content(1)), *others, wait_seconds=60)).json()
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
            answer = await tenant.search(project, queries[(number + seen.searches) % len(queries)], limit=3)
            seen.searches += 1
            seen.milliseconds.append(1000 * (time.perf_counter() - began))
            if answer.status_code != 200:
                seen.failed += 1
                continue
            texts = [found["text"] for found in answer.json()["results"] if found["filename"] == "manual.txt"]
            seen.count({int(edition) for text in texts for edition in EDITION.findall(text)}, answered=before)

    searching = [asyncio.create_task(search(number)) for number in range(searchers)]
    try:
        for edition in range(2, swaps + 2):
            answer = await tenant.put(
                f"{path}/content", files={"file": ("manual.txt", content(edition))}, params={"wait_seconds": 60}
            )
            if answer.status_code != 200 or answer.json()["version"] != edition:
                raise RuntimeError(f"version {edition} did not take its place: {answer.text}")
            answered = edition
            seen.swaps += 1
    finally:
        stop.set()
        await asyncio.gather(*searching)
    return seen
