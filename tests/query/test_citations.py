"""Every quote must stand in the tenant's own file, at the place that the citation names."""

from __future__ import annotations

import re

import pytest

from fastapi_ignite.infra.db import Database
from query.library import PAGES, Library
from support.tenant_records import rows_of


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
