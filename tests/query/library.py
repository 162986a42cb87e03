"""A project with files of many formats, whose texts are known to the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support import sample_files
from support.http_clients import TenantClient

HANDBOOK = (
    "Reisekosten 🚆\n\n"
    "Employees book trains in second class — first class needs the approval of the finance office.\n"
    "Hotel nights are refunded up to 140 € each.   \n\n"
    "A car is rented only where no train runs.\n"
)
PAGES = [
    "The annual report opens with a letter to the shareholders.",
    "Chapter two\nThe greenhouse in Almere produced 412 tonnes of tomatoes in 2024.",
    "Chapter three\nThe ferry to the island of Texel leaves every thirty minutes in summer.",
]
WINDOWS_NOTES = (
    b"Garden notes\r\n\r\nThe compost heap is turned every second Friday in March.\r\nThe well is closed.\r\n"
)


@dataclass(frozen=True, slots=True)
class Library:
    """A project, and the text of each of its files as the tenant knows it."""

    tenant: TenantClient
    project: str
    texts: dict[str, str]

    async def ask(self, question: str) -> dict[str, Any]:
        answer = await self.tenant.ask(self.project, question)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def search(self, query: str, **wanted: object) -> list[dict[str, Any]]:
        answer = await self.tenant.search(self.project, query, **wanted)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results


async def fill(tenant: TenantClient) -> Library:
    """Make the library; a worker must be running."""
    project = await tenant.create_project()
    sent = {
        "handbook.md": HANDBOOK.encode(),
        "handbook-wide.txt": "Überstunden werden jeden Donnerstag um 16 Uhr ausbezahlt.".encode("utf-16"),
        "notes.txt": WINDOWS_NOTES,
        "report.pdf": sample_files.make_pdf(PAGES),
        "deck.pptx": sample_files.make_pptx(
            ["Welcome to the lighthouse", "The lighthouse keeper lights 37 lamps a night."]
        ),
        "letter.docx": sample_files.make_docx(["Dear Ada,", "The violin was repaired by a luthier in Cremona."]),
    }
    body = (await tenant.upload(project, *sent.items(), wait_seconds=60)).json()
    assert body["file_counts"]["processed"] == len(sent), body
    texts = {
        "handbook.md": HANDBOOK,
        "handbook-wide.txt": sent["handbook-wide.txt"].decode("utf-16"),
        "notes.txt": WINDOWS_NOTES.decode().replace("\r\n", "\n"),
    }
    return Library(tenant, project, texts)
