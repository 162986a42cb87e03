"""Every quote stands in the caller's own file, where the citation says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

import documents
from bookkeeping import rows_of
from fastapi_ignite.infra.db import Database
from http_clients import TenantClient, TenantFactory

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
    """A project and the text of each of its files as the caller knows it."""

    tenant: TenantClient
    project: str
    texts: dict[str, str]

    async def ask(self, question: str) -> dict[str, Any]:
        answer = await self.tenant.ask(self.project, question)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture(scope="module")
async def library(make_tenant: TenantFactory, worker: None) -> Library:
    del worker
    tenant = await make_tenant()
    project = await tenant.create_project()
    sent = {
        "handbook.md": HANDBOOK.encode(),
        "handbook-wide.txt": "Überstunden werden jeden Donnerstag um 16 Uhr ausbezahlt.".encode("utf-16"),
        "notes.txt": WINDOWS_NOTES,
        "report.pdf": documents.make_pdf(PAGES),
        "deck.pptx": documents.make_pptx(
            ["Welcome to the lighthouse", "The lighthouse keeper lights 37 lamps a night."]
        ),
        "letter.docx": documents.make_docx(["Dear Ada,", "The violin was repaired by a luthier in Cremona."]),
    }
    body = (await tenant.upload(project, *sent.items(), wait_seconds=60)).json()
    assert body["file_counts"]["processed"] == len(sent), body
    texts = {
        "handbook.md": HANDBOOK,
        "handbook-wide.txt": sent["handbook-wide.txt"].decode("utf-16"),
        "notes.txt": WINDOWS_NOTES.decode().replace("\r\n", "\n"),
    }
    return Library(tenant, project, texts)


@pytest.mark.parametrize(
    ("question", "filename", "said"),
    [
        ("Who approves first class train tickets?", "handbook.md", "finance office"),
        ("Up to how much is a hotel night refunded?", "handbook.md", "140 €"),
        ("Wann werden Überstunden ausbezahlt?", "handbook-wide.txt", "Donnerstag"),
        ("When is the compost heap turned?", "notes.txt", "second Friday"),
    ],
)
async def test_a_plain_search_finds_the_quote_in_a_text_file(
    library: Library, question: str, filename: str, said: str
) -> None:
    answer = await library.ask(question)
    assert answer["answerable"]
    assert said in answer["answer"]
    cited = answer["citations"][0]
    assert (cited["filename"], cited["page"], cited["verified"]) == (filename, None, True)
    assert said in cited["quote"]
    assert cited["quote"] in answer["answer"]
    assert library.texts[filename][cited["char_start"] : cited["char_end"]] == cited["quote"]


@pytest.mark.parametrize(
    ("question", "filename", "page", "said"),
    [
        ("How many tonnes of tomatoes did the greenhouse in Almere produce?", "report.pdf", 2, "412 tonnes"),
        ("How often does the ferry to Texel leave in summer?", "report.pdf", 3, "thirty minutes"),
        ("How many lamps does the lighthouse keeper light?", "deck.pptx", 2, "37 lamps"),
        ("Who repaired the violin?", "letter.docx", None, "luthier"),
    ],
)
async def test_a_quote_stands_on_the_page_it_names(
    library: Library, question: str, filename: str, page: int | None, said: str
) -> None:
    cited = (await library.ask(question))["citations"][0]
    assert (cited["filename"], cited["page"]) == (filename, page)
    assert said in cited["quote"]
    if filename == "report.pdf" and page:
        assert re.sub(r"\s+", " ", cited["quote"]) in re.sub(r"\s+", " ", PAGES[page - 1])


async def test_every_citation_is_the_stored_text_at_its_offsets(library: Library, database: Database) -> None:
    questions = ["What leaves every thirty minutes?", "When is a car rented?", "What does the keeper light?"]
    citations = [cited for question in questions for cited in (await library.ask(question))["citations"]]
    assert len(citations) >= len(questions)
    for cited in citations:
        (row,) = await rows_of(
            database,
            library.tenant.id,
            "SELECT d.text, d.page_starts FROM files f JOIN documents d ON d.id = f.document_id WHERE f.id = :id",
            id=cited["file_id"],
        )
        assert row["text"][cited["char_start"] : cited["char_end"]] == cited["quote"]
        assert 0 <= cited["score"] <= 1
        if row["page_starts"]:
            later = [start for start in row["page_starts"] if start <= cited["char_start"]]
            assert cited["page"] == len(later)


async def test_what_no_file_says_is_refused(library: Library) -> None:
    answer = await library.ask("Which rocket engine burns methane at launch?")
    assert (answer["answerable"], answer["citations"]) == (False, [])
    assert answer["tokens_in"] > 0
    assert answer["tokens_out"] > 0
